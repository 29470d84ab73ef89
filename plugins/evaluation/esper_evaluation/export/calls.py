"""Calls of torch as Python expressions, spelled as people write them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import resolve_name

from esper_evaluation.export.values import Untraceable

_METHODS = "torch.Tensor."

_BINARY: dict[str, type[ast.operator]] = {
    "add": ast.Add,
    "sub": ast.Sub,
    "mul": ast.Mult,
    "div": ast.Div,
    "true_divide": ast.Div,
    "floor_divide": ast.FloorDiv,
    "remainder": ast.Mod,
    "pow": ast.Pow,
    "matmul": ast.MatMult,
    "bitwise_and": ast.BitAnd,
    "bitwise_or": ast.BitOr,
    "bitwise_xor": ast.BitXor,
    "and": ast.BitAnd,
    "or": ast.BitOr,
    "xor": ast.BitXor,
    "truediv": ast.Div,
    "floordiv": ast.FloorDiv,
    "mod": ast.Mod,
}
_COMPARISONS: dict[str, type[ast.cmpop]] = {
    "eq": ast.Eq,
    "ne": ast.NotEq,
    "lt": ast.Lt,
    "le": ast.LtE,
    "gt": ast.Gt,
    "ge": ast.GtE,
}
_UNARY: dict[str, type[ast.unaryop]] = {"neg": ast.USub, "invert": ast.Invert, "bitwise_not": ast.Invert}


def statement(function: Callable[..., Any], args: Sequence[ast.expr], kwargs: Mapping[str, ast.expr]) -> ast.expr:
    """Return the expression that calls a function of torch, a method or a property of a tensor.

    Raises:
        Untraceable: the function is not torch's.
    """
    owner = getattr(function, "__self__", None)
    if getattr(function, "__name__", "") == "__get__":
        return ast.Attribute(args[0], str(getattr(owner, "__name__", "")), ast.Load())
    path = _path(function)
    if not path.startswith(_METHODS):
        return _call(ast.parse(path, mode="eval").body, args, kwargs)
    name = path.removeprefix(_METHODS)
    operator = None if kwargs else _operator(name, args)
    if operator is not None:
        return operator
    return _call(ast.Attribute(args[0], name, ast.Load()), args[1:], kwargs)


def name_of(function: Callable[..., Any]) -> str:
    """Return the bare name of a function, which a variable for its result can have."""
    return _path(function).rpartition(".")[2] if getattr(function, "__name__", "") != "__get__" else "part"


def _call(function: ast.expr, args: Sequence[ast.expr], kwargs: Mapping[str, ast.expr]) -> ast.expr:
    return ast.Call(function, list(args), [ast.keyword(name, value) for name, value in kwargs.items()])


def _operator(name: str, args: Sequence[ast.expr]) -> ast.expr | None:
    """Return the expression of an operator between tensors and numbers, or None where a method is none."""
    plain = name.strip("_") if name.startswith("__") else name
    if plain == "getitem":
        return ast.Subscript(args[0], args[1], ast.Load())
    if len(args) == 1:
        return ast.UnaryOp(_UNARY[plain](), args[0]) if plain in _UNARY else None
    if len(args) != 2:
        return None
    if plain in _COMPARISONS:
        return ast.Compare(args[0], [_COMPARISONS[plain]()], [args[1]])
    if name.startswith("__r") and plain[1:] in _BINARY:
        return ast.BinOp(args[1], _BINARY[plain[1:]](), args[0])
    return ast.BinOp(args[0], _BINARY[plain](), args[1]) if plain in _BINARY else None


def _path(function: Callable[..., Any]) -> str:
    """Return where a function is found, from `torch` or `nn` on."""
    name = str(getattr(function, "__name__", ""))
    for start, place in (("torch", torch), ("nn.functional", nn.functional)):
        if getattr(place, name, None) is function:
            return f"{start}.{name}"
    if isinstance(function, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        if str(function).startswith("aten."):
            return f"torch.ops.{function}"
        name, found = str(function), ""
    else:
        found = resolve_name(function) or f"{_METHODS}{name}"
    if found.startswith(_METHODS):
        if hasattr(Tensor, found.removeprefix(_METHODS)):
            return found
    elif found.startswith("torch."):
        return found
    raise Untraceable(f"it calls {name or function!r}, which torch does not have")
