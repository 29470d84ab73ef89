"""Slot counts in source: named constants, defaults that nothing overrides, and bare numbers."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from typing import Literal

from attrs import frozen

from esper_spike_dynamic_slots.source import Definition
from esper_testing.spikes.verdict import Place

Form = Literal["constant", "default", "number"]

_COUNT = re.compile(r"(?i)(^|_)(num|n|number_of|total)_slots?($|_)|(^|_)slots?_(count|num|dim|size|width)$|^slots$")
_SHAPES = re.compile(
    r"range|arange|eye|(new_)?(zeros|ones|full|empty)|rand\w*|one_hot|view|reshape|expand|repeat|chunk|split|unflatten|"
    r"(Lazy)?Linear|Bilinear|Embedding|LayerNorm|(GRU|LSTM|RNN)(Cell)?|Conv\dd|(Multi)?Discrete|MultiBinary|Box|for_grid"
)
"""Functions whose numbers are sizes."""

_WRAPPERS = (ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Tuple, ast.List, ast.Starred)
"""What may stand between a number and the size it is a part of."""


@frozen
class Constant:
    """A slot count in source.

    Attributes:
        place: The line.
        form: A named constant; the default of a parameter or option; or a bare number.
        value: The count.
        name: What uses of it are found by: the constant's own name, else that of the class or function it stands in.
        definition: The class, function or assignment it stands in.
    """

    place: Place
    form: Form
    value: int
    name: str
    definition: Definition


def find_constants(definition: Definition, values: Collection[int], words: Collection[str] = ()) -> list[Constant]:
    """Return the slot counts written into a definition.

    Args:
        definition: Where to look.
        values: The counts looked for. Without any, only names that contain "slot" count; with some, numbers that are
            sizes, bounds or factors count too.
        words: Names of collections that count whatever they are called.
    """
    found: dict[tuple[int, Form], Constant] = {}
    for line, form, value, name in (*_named(definition, words), *_bare(definition, values)):
        if not values or value in values:
            place = definition.module.place(line)
            found.setdefault((line, form), Constant(place, form, value, name or definition.name, definition))
    lines = {line for line, form in found if form != "number"}
    return [constant for (line, form), constant in found.items() if form != "number" or line not in lines]


def _named(definition: Definition, words: Collection[str]) -> Iterator[tuple[int, Form, int, str]]:
    """Yield line, form, value and name of what is called after slots."""
    fields = {id(part) for node in ast.walk(definition.node) if isinstance(node, ast.ClassDef) for part in node.body}
    for node in ast.walk(definition.node):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in filter(None, map(_target, targets)):
                value = _count(node.value, definition) if _COUNT.search(name) else None
                if value is None and ("slot" in name.lower() or name in words) and not name.startswith("__"):
                    value = _length(node.value)
                if value is not None:
                    option = isinstance(node, ast.AnnAssign) and id(node) in fields
                    # Options are read as `config.name`; their bare name may mean anything elsewhere.
                    yield node.lineno, *(("default", value, f"config.{name}") if option else ("constant", value, name))
        elif isinstance(node, ast.ClassDef) and "slot" in node.name.lower() and _is_enum(node):
            yield node.lineno, "constant", _members(node), node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for argument, default in _defaults(node.args):
                if _COUNT.search(argument.arg) and (value := _integer(default)):
                    yield argument.lineno, "default", value, ""
        elif isinstance(node, ast.keyword) and _COUNT.search(node.arg or "") and (value := _integer(node.value)):
            yield node.value.lineno, "constant", value, ""


def _bare(definition: Definition, values: Collection[int]) -> Iterator[tuple[int, Form, int, str]]:
    """Yield numbers that are sizes, bounds or factors."""
    parents = {id(child): node for node in ast.walk(definition.node) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(definition.node):
        value = _integer(node)
        if value is None or value not in values or value < 2:
            continue
        parent, multiplied = parents.get(id(node)), False
        while isinstance(parent, _WRAPPERS) or _callee(parent) in ("min", "max"):
            multiplied |= isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult)
            parent = parents.get(id(parent))
        if multiplied or isinstance(parent, ast.Slice | ast.Compare) or _SHAPES.fullmatch(_callee(parent)):
            yield node.lineno, "number", value, ""  # type: ignore[attr-defined]


def _callee(node: ast.AST | None) -> str:
    """Return the last name of what is called, or nothing for what is no call."""
    return _target(node.func) if isinstance(node, ast.Call) else ""


def _target(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _integer(node: ast.AST | None) -> int | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _count(node: ast.expr, definition: Definition) -> int | None:
    """Return a count: a number, one that is an option's default, or the length of something that is written down."""
    if not isinstance(node, ast.Call):
        return _integer(node)
    first = node.args[0] if node.args else None
    if _callee(node) == "len" and isinstance(first, ast.Name):
        counted = definition.module.definitions.get(first.id)
        if isinstance(counted, ast.ClassDef) and _is_enum(counted):
            return _members(counted)
        return _length(counted.value) if isinstance(counted, ast.Assign) else None
    keywords = [keyword.value for keyword in node.keywords if keyword.arg == "default"]
    return _integer(first) or _integer(keywords[0] if keywords else None)


def _length(node: ast.expr | None) -> int | None:
    """Return the length of a collection that is written down element by element."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set) and len(node.elts) > 1:
        return len(node.elts)
    return len(node.keys) if isinstance(node, ast.Dict) and len(node.keys) > 1 else None


def _is_enum(node: ast.ClassDef) -> bool:
    return any(_target(base).endswith("Enum") for base in node.bases)


def _members(node: ast.ClassDef) -> int:
    return sum(isinstance(part, ast.Assign) for part in node.body)


def _defaults(arguments: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    yield from zip(reversed(positional), reversed(arguments.defaults), strict=False)
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
