"""Layers of `torch.nn` as calls of their constructors, with the arguments that they remember."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import torch
from torch import nn

PER_DIMENSION = ("kernel_size", "stride", "padding", "dilation", "output_padding")
"""Arguments that a layer remembers once per dimension, and takes as one number where these are equal."""

REMEMBERED = {"bias": ("bias", "in_proj_bias"), "add_bias_kv": ("bias_k",)}
"""Arguments that say whether there is a tensor → attributes that are this tensor or None."""


def constructed(module: nn.Module) -> str | None:
    """Return the call that builds a layer of `torch.nn`, or None where no call builds the like.

    That is so of modules that are no such layer, of layers that do not remember what they were built with, and of those
    that were changed afterwards: with hooks, another dtype, parametrizations.
    """
    kind = type(module)
    changed = module._forward_hooks or module._forward_pre_hooks
    if getattr(nn, kind.__name__, None) is not kind or changed or any(map(torch.is_tensor, vars(module).values())):
        return None
    given = _arguments(module)
    if given is None or not _same(module, given):
        return None
    parameters = inspect.signature(kind.__init__).parameters
    optional = [name for name in given if parameters[name].default is not inspect.Parameter.empty]
    for name in optional:
        # What follows from other arguments need not be said.
        fewer = {other: value for other, value in given.items() if other != name}
        given = fewer if _same(module, fewer) else given
    written = [f"{name}={value!r}" if name in optional else repr(value) for name, value in given.items()]
    return f"nn.{kind.__name__}({', '.join(written)})"


def _same(module: nn.Module, given: dict[str, Any]) -> bool:
    """Return whether a layer's constructor makes of these arguments what the layer is."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            again = type(module)(**given)
    except Exception:
        return False
    return _traits(again) == _traits(module) and all(vars(module).get(k) == v for k, v in _plain(again).items())


def _arguments(module: nn.Module) -> dict[str, Any] | None:
    """Return the constructor arguments of a layer that differ from the defaults, where it remembers them all."""
    found = {}
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        if name in ("self", "device", "dtype") or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        holders = [attribute for attribute in REMEMBERED.get(name, (name,)) if hasattr(module, attribute)]
        if not holders:
            return None
        value = getattr(module, holders[0])
        if name in PER_DIMENSION and isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        if isinstance(value, torch.Tensor) or (name in REMEMBERED and value is None):
            value = value is not None
        value = tuple(value) if isinstance(value, torch.Size) else value
        required = parameter.default is parameter.empty
        if required or value != parameter.default:
            if not _is_literal(value):
                return None
            found[name] = value
    return found


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _traits(module: nn.Module) -> tuple[str, dict[str, tuple[Any, ...]]]:
    """Return what a layer is: how it describes itself, and the sizes and types of its tensors."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return repr(module), {name: (type(t), tuple(t.shape), t.dtype) for name, t in tensors.items()}


def _plain(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
