"""The `forward` of a module as source, traced by `torch.fx` and put into few lines."""

from __future__ import annotations

import ast
import keyword

from torch import fx, nn

WIDTH = 56
"""Characters of an expression at most; beyond that its parts keep names of their own."""

_KNOWN = {"inf", "nan", "NoneType", "torch", "device", "fx_pytree", "pytree", "_Tensor_"}
"""Names that every trace may use."""


class Untraceable(Exception):
    """A module whose forward cannot be written down; the message says why."""


def forward_source(module: nn.Module) -> str:
    """Return `def forward(self, …)` of a module; its children are called, not entered.

    Raises:
        Untraceable: what it does depends on numbers that a trace does not know, or is not torch's.
    """
    try:
        graph = _Tracer().trace(module)
        code = graph.python_code("self")
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise Untraceable(f"torch.fx cannot trace it ({type(error).__name__}: {reason})") from error
    foreign = sorted(set(code.globals) - _KNOWN)
    if foreign:
        raise Untraceable(f"it calls {', '.join(foreign)}, which torch does not have")
    (function,) = ast.parse(code.src.strip()).body
    assert isinstance(function, ast.FunctionDef)
    inputs = [str(node.target) for node in graph.nodes if node.op == "placeholder"]
    if any(not name.isidentifier() or keyword.iskeyword(name) for name in inputs):
        raise Untraceable("its forward takes more than plain arguments")
    # Traces drop every value after its last use; that is no help to readers.
    body = [statement for statement in function.body if not _drops(statement)]
    if not any(_in_place(node) for node in graph.nodes):
        body = _shortened(body)
    lines = [ast.unparse(_Slices().visit(statement)) for statement in body]
    return "\n".join([f"def forward({', '.join(['self', *inputs])}):", *(f"    {line}" for line in lines)]) + "\n"


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


class _Slices(ast.NodeTransformer):
    """Writes `x[:, None]` where a trace writes `x[slice(None, None, None), None]`."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.slice, ast.Tuple):
            node.slice.elts = [_slice(element) for element in node.slice.elts]
        else:
            node.slice = _slice(node.slice)
        return node


def _slice(element: ast.expr) -> ast.expr:
    if isinstance(element, ast.Call) and isinstance(element.func, ast.Name) and element.func.id == "slice":
        lower, upper, step = (None if _is_none(a) else a for a in element.args)
        return ast.Slice(lower, upper, step)
    return ast.Constant(...) if isinstance(element, ast.Name) and element.id == "Ellipsis" else element


def _shortened(body: list[ast.stmt]) -> list[ast.stmt]:
    """Put expressions that are used once where they are used, unless that gets long; calls of children stay."""
    kept: list[ast.stmt] = []
    pending: dict[str, ast.expr] = {}
    uses = _uses(body)
    for statement in body:
        changed = _Inline(pending).visit(statement)
        if isinstance(changed, ast.Assign) and isinstance(changed.targets[0], ast.Name):
            name, value = changed.targets[0].id, changed.value
            if uses.get(name) == 1 and not _calls_child(value) and len(ast.unparse(value)) <= WIDTH:
                pending[name] = value
                continue
        kept.append(changed)
    return kept


class _Inline(ast.NodeTransformer):
    """Replaces names by the expressions that they stand for, where the result is short enough."""

    def __init__(self, pending: dict[str, ast.expr]) -> None:
        self.pending = pending

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.pending.pop(node.id) if isinstance(node.ctx, ast.Load) and node.id in self.pending else node


def _uses(body: list[ast.stmt]) -> dict[str, int]:
    uses: dict[str, int] = {}
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                uses[node.id] = uses.get(node.id, 0) + 1
    return uses


def _calls_child(value: ast.expr) -> bool:
    """Return whether an expression is a call of one of the module's children, or of what was looked up."""
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    if not isinstance(called, ast.Attribute):
        return True
    return isinstance(called.value, ast.Name) and called.value.id == "self"


def _drops(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and _is_none(statement.value)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _in_place(node: fx.Node) -> bool:
    """Return whether a step may change a value that others see, so that its place matters."""
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    return node.op == "call_function" and (
        bool(node.kwargs.get("inplace") or node.kwargs.get("out")) or getattr(node.target, "__name__", "").endswith("_")
    )
