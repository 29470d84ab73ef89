"""A host and its seeds as a list of layers that the engine knows, written down as numbers."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from attrs import define, field, frozen
from torch import Tensor, nn

from esper_core.contracts.errors import EsperError, PluginError
from esper_core.contracts.foreign import guarded
from esper_growth.engine.shapes import Kind, Shape, check_shapes


class Unknown(EsperError):
    """The engine does not know a layer; the message names it."""


@frozen
class Node:
    """An activation: its number in the graph, its shape, and whether what reads it leaves it without a gradient."""

    number: int
    shape: Shape
    detached: bool = False


@define
class Graph:
    """Layers in the order in which they are computed.

    Attributes:
        parts: Names of the modules whose parameters are trained and clipped as one, in order.
    """

    parts: list[str] = field(factory=list)
    _values: list[tuple[Shape, bool]] = field(factory=list)
    _layers: list[list[int]] = field(factory=list)
    _weights: dict[int, tuple[int, int]] = field(factory=dict)

    def input(self, shape: Shape) -> Node:
        """Return the activation that samples are; it receives no gradient."""
        return self._value(shape, learns=False)

    def part(self, name: str, module: nn.Module) -> None:
        """Make the parameters of a module known; each part's lie one behind the other."""
        offset = 0
        for parameter in module.parameters():
            self._weights[id(parameter)] = (len(self.parts), offset)
            offset += parameter.numel()
        self.parts.append(name)

    def add(self, kind: Kind, inputs: Sequence[Node], shape: Shape, *settings: int | float | Tensor | None) -> Node:
        """Add a layer; return its output.

        Args:
            kind: Which.
            inputs: What it reads.
            shape: Of its output.
            settings: What else it needs, in the order in which the engine reads it: numbers, and parameters or None.

        Raises:
            ValueError: the layer does not make such a shape of such inputs.
        """
        check_shapes(kind, [node.shape for node in inputs], shape)
        output = self._value(shape, learns=True)
        self._append(kind, inputs, output, settings)
        return output

    def join_isolated(self, inputs: Sequence[Node], *settings: int) -> None:
        """Add the joining of a seed that trains without changing the host; the output is the host's activation."""
        check_shapes(Kind.JOIN, [node.shape for node in inputs], inputs[0].shape)
        self._append(Kind.JOIN, inputs, inputs[0], settings)

    def lower(self, module: nn.Module, x: Node) -> Node:
        """Add the layers of a module; return its output.

        A module of one's own says what it is made of in a method `lower(graph, x)`.

        Raises:
            Unknown: the engine does not know it.
        """
        if type(module) in LAYERS:
            return LAYERS[type(module)](self, module, x)
        # Only where the class itself says so: a subclass may compute something else.
        if "lower" in vars(type(module)):
            name = f"{type(module).__module__}.{type(module).__qualname__}"
            with guarded(f"The method 'lower' of {name}", "saying what it is made of"):
                node = module.lower(self, x)  # type: ignore[operator]
            if not isinstance(node, Node):
                raise PluginError(
                    f"The method 'lower' of {name} returned {node!r}, which is no Node.",
                    hint="It returns what graph.add or graph.lower returned.",
                )
            return node
        raise Unknown(f"{type(module).__module__}.{type(module).__qualname__}")

    def code(self) -> Tensor:
        """Return what `Network` in `network.h` reads, int64."""
        numbers = [len(self._values)]
        for shape, learns in self._values:
            numbers += [*shape, int(learns)]
        numbers.append(len(self._layers))
        for layer in self._layers:
            numbers += layer
        return torch.tensor(numbers, dtype=torch.int64)

    def _value(self, shape: Shape, *, learns: bool) -> Node:
        self._values.append((shape, learns))
        return Node(len(self._values) - 1, shape)

    def _append(
        self, kind: Kind, inputs: Sequence[Node], output: Node, settings: Iterable[int | float | Tensor | None]
    ) -> None:
        layer = [int(kind), len(inputs)]
        for node in inputs:
            layer += [node.number, int(node.detached)]
        layer.append(output.number)
        for setting in settings:
            if isinstance(setting, Tensor):
                layer += self._weights[id(setting)]
            elif setting is None:
                layer += [-1, 0]
            elif isinstance(setting, float):
                layer += struct.unpack("<q", struct.pack("<d", setting))
            else:
                layer.append(int(setting))
        self._layers.append(layer)


Lower = Callable[[Graph, Any, Node], Node]


def known(holds: bool, module: nn.Module) -> None:
    """Raise `Unknown` unless a layer is as the engine knows it."""
    if not holds:
        raise Unknown(str(module))


def _sequential(graph: Graph, module: nn.Sequential, x: Node) -> Node:
    layers = list(module)
    while layers:
        layer = layers.pop(0)
        if type(layer) is not nn.GroupNorm:
            x = graph.lower(layer, x)
            continue
        relu = bool(layers) and type(layers[0]) is nn.ReLU
        pool = relu and len(layers) > 1 and type(layers[1]) in (nn.MaxPool1d, nn.MaxPool2d)
        shape = _pooled(layers[1], x) if pool else x.shape
        x = _norm(graph, layer, x, shape, relu=relu, pool=pool)
        del layers[: relu + pool]
    return x


def _convolution(graph: Graph, module: nn.Conv1d | nn.Conv2d, x: Node) -> Node:
    kernel, padding = module.kernel_size, module.padding
    plain = all(d == 1 for d in module.dilation) and module.padding_mode == "zeros"
    known(plain and len(kernel) == _axes(x, module), module)
    (tall, broad), (down, across) = (1, *kernel)[-2:], (1, *module.stride)[-2:]
    channels, height, width = x.shape
    if kernel == module.stride and module.groups == 1 and padding in ("valid", (0,) * len(kernel)) and tall * broad > 1:
        known(height % tall == width % broad == 0, module)
        patches = graph.add(Kind.PATCHES, [x], (channels * tall * broad, height // tall, width // broad), tall, broad)
        return graph.add(Kind.CONVOLUTION, [patches], _wide(module, patches), module.weight, module.bias, 1, 1)
    known(all(k % 2 for k in kernel) and padding in ("same", tuple(k // 2 for k in kernel)), module)
    if tall * broad == 1:
        x = _stride(graph, x, down, across)
    if module.groups == 1:
        x = graph.add(Kind.CONVOLUTION, [x], _wide(module, x), module.weight, module.bias, tall, broad)
    else:
        known(module.groups == module.in_channels == module.out_channels and module.bias is None, module)
        x = graph.add(Kind.DEPTHWISE, [x], _wide(module, x), module.weight, tall, broad)
    return x if tall * broad == 1 else _stride(graph, x, down, across)


def _wide(module: nn.Conv1d | nn.Conv2d, x: Node) -> Shape:
    return (module.out_channels, *x.shape[1:])


def _stride(graph: Graph, x: Node, down: int, across: int) -> Node:
    """Take every so many rows and columns: what a convolution with a stride computes, of one without."""
    if down == across == 1:
        return x
    channels, height, width = x.shape
    return graph.add(Kind.STRIDE, [x], (channels, -(-height // down), -(-width // across)), down, across)


def _axes(x: Node, module: nn.Module) -> int:
    # A curve has height 1; so may an image have.
    return 1 if isinstance(module, nn.Conv1d | nn.MaxPool1d | nn.AdaptiveAvgPool1d) and x.shape[1] == 1 else 2


def _linear(graph: Graph, module: nn.Linear, x: Node) -> Node:
    known(x.shape[1:] == (1, 1), module)
    return graph.add(Kind.CONVOLUTION, [x], (module.out_features, 1, 1), module.weight, module.bias, 1, 1)


def _norm(graph: Graph, module: nn.GroupNorm, x: Node, shape: Shape, *, relu: bool, pool: bool) -> Node:
    known(module.affine, module)
    settings = (module.weight, module.bias, module.num_groups, module.eps, relu, pool)
    return graph.add(Kind.NORM, [x], shape, *settings)


def _pooled(module: nn.Module, x: Node) -> Shape:
    """Return the shape behind a max-pool."""
    assert isinstance(module, nn.MaxPool1d | nn.MaxPool2d)
    axes = _axes(x, module)
    settings = (module.kernel_size, module.stride, module.padding, module.dilation)
    kernel, stride, padding, dilation = (set(v) if isinstance(v, tuple) else {v} for v in settings)
    plain = kernel == stride == {2} and padding == {0} and dilation == {1}
    known(plain and not module.ceil_mode and not module.return_indices, module)
    channels, height, width = x.shape
    return (channels, height if axes == 1 else height // 2, width // 2)


def _mean(graph: Graph, module: nn.Module, x: Node) -> Node:
    size = module.output_size
    known(set(size if isinstance(size, tuple) else (size,)) == {1}, module)
    return graph.add(Kind.MEAN, [x], (x.shape[0], 1, 1))


def _flatten(graph: Graph, module: nn.Flatten, x: Node) -> Node:
    known(x.shape[1:] == (1, 1) and module.start_dim == 1, module)
    return x


def _gelu(graph: Graph, module: nn.GELU, x: Node) -> Node:
    known(module.approximate == "none", module)
    return graph.add(Kind.GELU, [x], x.shape)


LAYERS: dict[type[nn.Module], Lower] = {
    nn.Sequential: _sequential,
    nn.Identity: lambda graph, module, x: x,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.Linear: _linear,
    nn.GroupNorm: lambda graph, module, x: _norm(graph, module, x, x.shape, relu=False, pool=False),
    nn.MaxPool1d: lambda graph, module, x: graph.add(Kind.POOL, [x], _pooled(module, x)),
    nn.MaxPool2d: lambda graph, module, x: graph.add(Kind.POOL, [x], _pooled(module, x)),
    nn.AdaptiveAvgPool1d: _mean,
    nn.AdaptiveAvgPool2d: _mean,
    nn.Flatten: _flatten,
    nn.ReLU: lambda graph, module, x: graph.add(Kind.RELU, [x], x.shape),
    nn.GELU: _gelu,
    nn.Sigmoid: lambda graph, module, x: graph.add(Kind.SIGMOID, [x], x.shape),
}
"""What PyTorch's own layers are in the engine."""


def shape_of(sample: Sequence[int]) -> Shape:
    """Return the shape of one sample `(C, L)` or `(C, H, W)`.

    Raises:
        Unknown: it has another number of axes.
    """
    if len(sample) not in (2, 3) or not math.prod(sample):
        raise Unknown(f"samples {tuple(sample)}")
    channels, *space = sample
    return (channels, *(1, *space)[-2:])  # type: ignore[return-value]
