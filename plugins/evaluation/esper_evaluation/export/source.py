"""From a module to Python source that builds it again, with torch alone.

Layers of `torch.nn` become calls of their constructors. Any other module becomes a class whose `forward` is what was
recorded of it. Parameters and buffers keep their names, so that the state dict of the module is that of its source.
Nothing is ever written but identifiers, literals and calls of torch.
"""

from __future__ import annotations

import ast
import keyword
import re
import textwrap
from collections.abc import Mapping

import torch
from attrs import define, field
from torch import Tensor, nn

from esper_core.contracts.errors import PluginError
from esper_evaluation.export.layers import constructed
from esper_evaluation.export.places import is_sequence, own_tensors, place, tensors
from esper_evaluation.export.record import Unwritable, record

INDENT = "    "

RESERVED = {"DTYPES", "Path", "json", "load", "nn", "torch"}
"""Names that a class cannot have, for the module uses them itself."""


def module_source(network: nn.Module, name: str, notes: Mapping[str, str], sample: Tensor) -> str:
    """Return classes that build a network, the last of them called `name`.

    Args:
        network: What to write down; it computes as it does in its present mode.
        name: Identifier of its class, which is built without arguments.
        notes: Name of a child → one line that becomes a comment.
        sample: One input `[1, …]`, on the CPU.

    Raises:
        PluginError: a module that cannot be written down, with the reason.
    """
    layers = {module: call for module in network.modules() if module is not network and (call := constructed(module))}
    try:
        forwards = record(network, sample, layers)
    except Unwritable as error:
        raise _cannot(error.module, error.reason) from error
    writer = _Writer(name, layers, forwards)
    children = [
        (f"{INDENT * 2}# {notes[child]}\n" if child in notes else "")
        + f"{INDENT * 2}{_assignment(child, writer.expression(module, 2))}\n"
        for child, module in _children(network)
    ]
    root = (
        f"class {name}(nn.Module):\n{INDENT}def __init__(self):\n{INDENT * 2}super().__init__()\n"
        f"{''.join(children)}{_tensors(network)}{_shared(network)}{writer.forward(network)}"
    )
    return "\n\n".join([*writer.classes, root])


@define
class _Writer:
    """Writes expressions, and collects the classes that they need.

    Attributes:
        root: Name of the network's class.
        layers: Module → the call that builds it.
        forwards: Module → source of its forward.
    """

    root: str
    layers: Mapping[nn.Module, str]
    forwards: Mapping[nn.Module, str]
    classes: list[str] = field(factory=list)
    _names: dict[str, str] = field(factory=dict)

    def expression(self, module: nn.Module, depth: int) -> str:
        """Return an expression that builds a module; lines after its first are indented by `depth` and more."""
        if module in self.layers:
            return self.layers[module]
        if is_sequence(module):
            parts = [self.expression(part, depth + 1) for _, part in _children(module)]
            return f"nn.Sequential{_listed(parts, depth, '(', ')')}"
        if (brackets := _CONTAINERS.get(type(module))) is not None:
            inside = {child: self.expression(part, depth + 1) for child, part in _children(module)}
            inside |= {name: _parameter(tensor) for name, tensor in own_tensors(module).items()}
            parts = [f"{key!r}: {part}" if "{" in brackets[0] else part for key, part in inside.items()]
            return f"nn.{type(module).__name__}{_listed(parts, depth, *brackets)}"
        name = self._class(module)
        parts = [f"{_argument(child)}={self.expression(part, depth + 1)}" for child, part in _children(module)]
        return f"{name}{_listed(parts, depth, '(', ')')}"

    def forward(self, module: nn.Module) -> str:
        """Return the forward of a class, or nothing where the module is never called."""
        return "\n" + textwrap.indent(self.forwards[module], INDENT) if module in self.forwards else ""

    def _class(self, module: nn.Module) -> str:
        """Return the name of a class like the module's, written once for all that are alike."""
        children = [child for child, _ in _children(module)]
        signature = ", ".join(["self", *map(_argument, children)])
        about = _about(module)
        body = (
            (f'{INDENT}"""{about}"""\n\n' if about else "")
            + f"{INDENT}def __init__({signature}):\n{INDENT * 2}super().__init__()\n"
            + "".join(f"{INDENT * 2}{_assignment(child, _argument(child))}\n" for child in children)
            + _tensors(module)
            + self.forward(module)
        )
        key = f"{type(module).__name__}\n{body}"
        if key not in self._names:
            base = _identifier(type(module).__name__)
            taken = {*self._names.values(), self.root, *RESERVED}
            name = next(n for n in (base, *(f"{base}{i}" for i in range(2, len(taken) + 3))) if n not in taken)
            self._names[key] = name
            self.classes.append(f"class {name}(nn.Module):\n{body}")
        return self._names[key]


_CONTAINERS: dict[type[nn.Module], tuple[str, str]] = {
    nn.ModuleList: ("([", "])"),
    nn.ParameterList: ("([", "])"),
    nn.ModuleDict: ("({", "})"),
    nn.ParameterDict: ("({", "})"),
}
"""Modules that hold others and do nothing → the brackets that these stand in."""


def _children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the parts of a module; one that has several names is among them under each."""
    return [(name, part) for name, part in module._modules.items() if part is not None]


def _argument(child: str) -> str:
    return f"part_{child}" if child.isdigit() else _identifier(child)


def _assignment(child: str, value: str) -> str:
    return f'self.add_module("{child}", {value})' if child.isdigit() else f"self.{_identifier(child)} = {value}"


def _tensors(module: nn.Module) -> str:
    """Return lines that make a module's own parameters and buffers, for a state dict to fill."""
    lines = []
    for name, tensor in own_tensors(module).items():
        if isinstance(tensor, nn.Parameter):
            lines.append(f"self.{_identifier(name)} = {_parameter(tensor)}")
        else:
            lines.append(f'self.register_buffer("{_identifier(name)}", {_empty(tensor)})')
    return "".join(f"{INDENT * 2}{line}\n" for line in lines)


def _shared(network: nn.Module) -> str:
    """Return lines that make one tensor of those that are one in a network."""
    first: dict[int, str] = {}
    lines = ""
    for name, tensor in tensors(network).items():
        if first.setdefault(id(tensor), name) != name:
            one, other = (ast.unparse(place(network, n)) for n in (first[id(tensor)], name))
            lines += f"{INDENT * 2}{other} = {one}\n"
    return lines


def _parameter(tensor: Tensor) -> str:
    return f"nn.Parameter({_empty(tensor)}{'' if tensor.is_floating_point() else ', requires_grad=False'})"


def _empty(tensor: Tensor) -> str:
    kind = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
    return f"torch.zeros({tuple(tensor.shape)}{kind})"


def _about(module: nn.Module) -> str:
    """Return the first line of a class's docstring, where it is plain and not torch's."""
    if type(module).__module__.startswith("torch."):
        return ""
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
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii() or name == "self":
        raise PluginError(f"{name!r} cannot be a name in Python source.", hint="Report this to the plugin's author.")
    return name


def _cannot(module: nn.Module, reason: str) -> PluginError:
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    return PluginError(f"The module {kind} cannot be written as source: {reason}.", hint="Report this to its author.")
