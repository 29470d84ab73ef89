"""From a module to Python source that builds it again, with torch alone.

Layers of `torch.nn` become calls of their constructors, with the arguments that they remember. Any other module is
traced by `torch.fx`, and becomes a class whose `forward` is the trace. Parameters and buffers keep their names, so that
the state dict of the module is that of its source. Nothing is ever written but identifiers, literals and traced calls.
"""

from __future__ import annotations

import ast
import inspect
import keyword
import re
import textwrap
from collections.abc import Mapping
from typing import Any

import torch
from attrs import define, field
from torch import nn

from esper_core.contracts.errors import PluginError
from esper_core.export.trace import Untraceable, forward_source

INDENT = "    "

PER_DIMENSION = ("kernel_size", "stride", "padding", "dilation", "output_padding")
"""Arguments that a layer remembers once per dimension, and takes as one number where these are equal."""


def module_source(network: nn.Module, name: str, notes: Mapping[str, str]) -> str:
    """Return classes that build a network, the last of them called `name`.

    Args:
        network: What to write down.
        name: Identifier of its class, which is built without arguments.
        notes: Name of a child → one line that becomes a comment.

    Raises:
        PluginError: a module that cannot be written down, with the reason.
    """
    writer = _Writer(name)
    children = [
        (f"{INDENT * 2}# {notes[child]}\n" if child in notes else "")
        + f"{INDENT * 2}self.{_identifier(child)} = {writer.expression(module, 2)}\n"
        for child, module in network.named_children()
    ]
    root = (
        f"class {name}(nn.Module):\n{INDENT}def __init__(self):\n{INDENT * 2}super().__init__()\n"
        f"{''.join(children)}{_tensors(network)}\n{_forward(network)}"
    )
    return "\n\n".join([*writer.classes, root])


@define
class _Writer:
    """Writes expressions, and collects the classes that they need."""

    root: str
    classes: list[str] = field(factory=list)
    _names: dict[str, str] = field(factory=dict)

    def expression(self, module: nn.Module, depth: int) -> str:
        """Return an expression that builds a module; lines after its first are indented by `depth` and more."""
        children = list(module.named_children())
        if type(module) is nn.ModuleList or (type(module) is nn.Sequential and _counted(children)):
            parts = [self.expression(child, depth + 1) for _, child in children]
            brackets = ("(", ")") if type(module) is nn.Sequential else ("([", "])")
            return f"nn.{type(module).__name__}{_listed(parts, depth, *brackets)}"
        if _is_layer(module) and not children:
            return f"nn.{type(module).__name__}({', '.join(_arguments(module))})"
        name = self._class(module)
        parts = [f"{_identifier(child)}={self.expression(part, depth + 1)}" for child, part in children]
        return f"{name}{_listed(parts, depth, '(', ')')}"

    def _class(self, module: nn.Module) -> str:
        """Return the name of a class like the module's, written once for all that are alike."""
        children = [_identifier(child) for child, _ in module.named_children()]
        signature = ", ".join(["self", *children])
        about = _about(module)
        body = (
            (f'{INDENT}"""{about}"""\n\n' if about else "")
            + f"{INDENT}def __init__({signature}):\n{INDENT * 2}super().__init__()\n"
            + "".join(f"{INDENT * 2}self.{child} = {child}\n" for child in children)
            + f"{_tensors(module)}\n{_forward(module)}"
        )
        key = f"{type(module).__name__}\n{body}"
        if key not in self._names:
            base = _identifier(type(module).__name__)
            taken = {*self._names.values(), self.root, "load"}
            name = next(n for n in (base, *(f"{base}{i}" for i in range(2, len(taken) + 3))) if n not in taken)
            self._names[key] = name
            self.classes.append(f"class {name}(nn.Module):\n{body}")
        return self._names[key]


def _counted(children: list[tuple[str, nn.Module]]) -> bool:
    return [name for name, _ in children] == [str(i) for i in range(len(children))]


def _is_layer(module: nn.Module) -> bool:
    return getattr(nn, type(module).__name__, None) is type(module)


def _arguments(module: nn.Module) -> list[str]:
    """Return the constructor arguments of a layer that differ from the defaults."""
    written = []
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        if name in ("self", "device", "dtype") or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if not hasattr(module, name):
            raise _cannot(module, f"it does not remember its argument '{name}'")
        value = getattr(module, name)
        if name in PER_DIMENSION and isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        if isinstance(value, torch.Tensor) or (name == "bias" and value is None):
            value = value is not None
        if value != parameter.default:
            required = parameter.default is parameter.empty
            written.append(_literal(module, value) if required else f"{name}={_literal(module, value)}")
    return written


def _literal(module: nn.Module, value: Any) -> str:
    value = tuple(value) if isinstance(value, torch.Size) else value
    text = repr(value)
    try:
        same = ast.literal_eval(text) == value
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise _cannot(module, f"its argument {text} is no plain value")
    return text


def _tensors(module: nn.Module) -> str:
    """Return lines that make a module's own parameters and buffers, for a state dict to fill."""
    lines = []
    for name, parameter in module.named_parameters(recurse=False):
        lines.append(f"self.{_identifier(name)} = nn.Parameter({_empty(parameter)})")
    persistent = module.state_dict()
    for name, buffer in module.named_buffers(recurse=False):
        if name not in persistent:
            raise _cannot(module, f"its buffer '{name}' is not part of its state dict")
        lines.append(f'self.register_buffer("{_identifier(name)}", {_empty(buffer)})')
    return "".join(f"{INDENT * 2}{line}\n" for line in lines)


def _empty(tensor: torch.Tensor) -> str:
    kind = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
    return f"torch.zeros({tuple(tensor.shape)}{kind})"


def _forward(module: nn.Module) -> str:
    try:
        return textwrap.indent(forward_source(module), INDENT)
    except Untraceable as error:
        raise _cannot(module, str(error)) from error


def _about(module: nn.Module) -> str:
    """Return the first line of a class's docstring, where it is plain."""
    line = (type(module).__doc__ or "").strip().partition("\n")[0]
    return line if re.fullmatch(r"[^\\\"\x00-\x1f]*[^\\\"\x00-\x1f ]", line) else ""


def _listed(parts: list[str], depth: int, opening: str, closing: str) -> str:
    inside, outside = INDENT * (depth + 1), INDENT * depth
    return (
        f"{opening}\n{''.join(f'{inside}{part},{chr(10)}' for part in parts)}{outside}{closing}"
        if parts
        else opening + closing
    )


def _identifier(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii():
        raise PluginError(f"{name!r} cannot be a name in Python source.", hint="Report this to the plugin's author.")
    return name


def _cannot(module: nn.Module, reason: str) -> PluginError:
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    return PluginError(f"The module {kind} cannot be written as source: {reason}.", hint="Report this to its author.")
