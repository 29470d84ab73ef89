"""Values as Python expressions: what a recorded call was given."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._sympy.printers import PythonPrinter

SIZES = (torch.SymInt, torch.SymFloat, torch.SymBool)
"""Numbers that depend on how many samples there are."""

_NAMED = (torch.dtype, torch.memory_format, torch.layout)
_FUNCTIONS = {"max", "min", "abs", "int", "float"}


class Untraceable(Exception):
    """A module whose forward cannot be written down; the message says why."""


def written(value: Any, special: Callable[[Any], ast.expr]) -> ast.expr:
    """Return an expression for a value.

    Args:
        value: Plain Python, with tensors, sizes and devices in it.
        special: Returns the expression of a tensor, a size or a device.

    Raises:
        Untraceable: something in it cannot be written down.
    """
    if isinstance(value, (Tensor, torch.device, *SIZES)):
        return special(value)
    if isinstance(value, _NAMED):
        return ast.parse(repr(value), mode="eval").body
    if isinstance(value, float) and not math.isfinite(value):
        return ast.parse(f'float("{value}")', mode="eval").body
    if value is None or value is ... or type(value) in (bool, int, float, complex, str, bytes):
        return ast.Constant(value)
    if isinstance(value, slice):
        bounds = [None if b is None else written(b, special) for b in (value.start, value.stop, value.step)]
        return ast.Slice(*bounds)
    if isinstance(value, tuple | list):
        elements = [written(element, special) for element in value]
        return ast.List(elements, ast.Load()) if type(value) is list else ast.Tuple(elements, ast.Load())
    if type(value) is dict:
        return ast.Dict([written(k, special) for k in value], [written(v, special) for v in value.values()])
    raise Untraceable(f"it hands a {type(value).__name__} to torch or to its caller, which is not a plain value")


def contains(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """Return whether a value, or a collection of values, holds one of these types."""
    if isinstance(value, dict):
        return any(contains(entry, kinds) for entry in value.values())
    if isinstance(value, tuple | list):
        return any(contains(entry, kinds) for entry in value)
    return isinstance(value, kinds)


def size(value: Any, known: dict[str, ast.expr]) -> ast.expr:
    """Return an expression for a number that depends on sizes.

    Args:
        value: One of `SIZES`.
        known: Name of a symbol → expression of its value.

    Raises:
        Untraceable: it depends on a size that is not known.
    """
    tree = ast.parse(PythonPrinter().doprint(value.node.expr), mode="eval").body
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if names - set(known) - _FUNCTIONS:
        raise Untraceable("it uses the number of samples in a way that cannot be written down")
    replaced: ast.expr = _Replaced(known).visit(tree)
    return replaced


class _Replaced(ast.NodeTransformer):
    """Puts expressions in the place of names."""

    def __init__(self, known: dict[str, ast.expr]) -> None:
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.known.get(node.id, node)
