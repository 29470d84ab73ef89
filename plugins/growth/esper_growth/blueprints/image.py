"""The seven blueprints for image hosts, of one or two axes of space, each the branch f of `h + alpha·f(h)`.

Only the last factor is initialised to zero, with nothing behind it that rescales it, so that every parameter has a
gradient within two steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from attrs import frozen
from torch import Tensor, nn

from esper_core.contracts.protocols import BuildContext
from esper_growth.blueprints.transformer import Mixing, heads_of, self_attention, silent
from esper_growth.config import AttentionConfig, BottleneckConfig
from esper_growth.engine.graph import Graph, Kind, Node
from esper_growth.layers import convolution

MIN_BOTTLENECK = 8


@frozen
class ImageBlueprint:
    """Kind `blueprint` for image hosts: wraps a function from channels and number of axes to a module."""

    make: Callable[[int, int], nn.Module]
    topologies: tuple[str, ...] = ("image",)
    axes: tuple[int, ...] = (1, 2)

    def build(self, channels: int, spatial: tuple[int, ...]) -> nn.Module:
        """Return a branch from `[B, channels, *spatial]` to the same shape."""
        return self.make(channels, len(spatial))


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a GroupNorm with the largest of 8, 4, 2, 1 groups that divides the channels."""
    return nn.GroupNorm(next(g for g in (8, 4, 2, 1) if channels % g == 0), channels)


def conv_norm_relu(channels: int, axes: int, kernel: int) -> nn.Sequential:
    """Return [convolution without bias, GroupNorm, ReLU] with unchanged shape."""
    return nn.Sequential(convolution(axes, channels, channels, kernel), group_norm(channels), nn.ReLU())


class GatedNorm(nn.Module):
    """`tanh(s)·(GN(x) − x)` with s initially 0; 2C + 1 parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, *spatial]` to the same shape."""
        return torch.tanh(self.scale) * (self.norm(x) - x)

    def lower(self, graph: Graph, x: Node) -> Node:
        """Add the layers to the engine's graph."""
        return graph.add(Kind.DIFFERENCE, [graph.lower(self.norm, x), x], x.shape, self.scale)


class SqueezeExcite(nn.Module):
    """`x·σ(W2·relu(W1·mean(x)) + 3) − x` with W2 initially 0, where it is close to zero."""

    def __init__(self, channels: int, axes: int, reduction: int) -> None:
        super().__init__()
        self.space, self.ones = tuple(range(2, 2 + axes)), (1,) * axes
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels)
        nn.init.zeros_(self.excite.weight)
        nn.init.constant_(self.excite.bias, 3.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, *spatial]` to the same shape."""
        weight = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean(dim=self.space)))))
        return x * (weight - 1.0).unflatten(1, (-1, *self.ones))

    def lower(self, graph: Graph, x: Node) -> Node:
        """Add the layers to the engine's graph."""
        mean = graph.add(Kind.MEAN, [x], (x.shape[0], 1, 1))
        squeezed = graph.lower(self.squeeze, mean)
        excited = graph.lower(self.excite, graph.add(Kind.RELU, [squeezed], squeezed.shape))
        return graph.add(Kind.RESCALE, [x, graph.add(Kind.SIGMOID, [excited], excited.shape)], x.shape)


def _gated_norm(channels: int, axes: int) -> nn.Module:
    return GatedNorm(channels)


def _depthwise(channels: int, axes: int) -> nn.Module:
    return nn.Sequential(
        convolution(axes, channels, channels, 3, groups=channels),
        convolution(axes, channels, channels, 1),
        group_norm(channels),
        nn.ReLU(),
    )


def _bottleneck(channels: int, axes: int, reduction: int) -> nn.Module:
    middle = max(MIN_BOTTLENECK, channels // reduction)
    norm = group_norm(channels)
    nn.init.zeros_(norm.weight)
    return nn.Sequential(
        convolution(axes, channels, middle, 1),
        nn.ReLU(),
        convolution(axes, middle, middle, 3),
        nn.ReLU(),
        convolution(axes, middle, channels, 1),
        norm,
    )


def _conv_heavy(channels: int, axes: int) -> nn.Module:
    return nn.Sequential(conv_norm_relu(channels, axes, 3), conv_norm_relu(channels, axes, 3))


def _self_attention(channels: int, axes: int) -> nn.Module:
    return silent(self_attention(channels, Mixing(heads_of(channels))))


def conv_light(config: None, context: BuildContext) -> ImageBlueprint:
    """3×3 convolution, norm, ReLU: 9C² + 2C parameters."""
    return ImageBlueprint(partial(conv_norm_relu, kernel=3))


def conv_small(config: None, context: BuildContext) -> ImageBlueprint:
    """1×1 convolution, norm, ReLU: C² + 2C parameters."""
    return ImageBlueprint(partial(conv_norm_relu, kernel=1))


def conv_heavy(config: None, context: BuildContext) -> ImageBlueprint:
    """Two 3×3 convolutions, each with norm and ReLU: 18C² + 4C parameters."""
    return ImageBlueprint(_conv_heavy)


def depthwise(config: None, context: BuildContext) -> ImageBlueprint:
    """3×3 depthwise and 1×1 convolution, norm, ReLU: C² + 11C parameters."""
    return ImageBlueprint(_depthwise)


def bottleneck(config: BottleneckConfig, context: BuildContext) -> ImageBlueprint:
    """1×1, 3×3, 1×1 convolutions and a zero-scaled norm; initially 0."""
    return ImageBlueprint(partial(_bottleneck, reduction=config.reduction))


def norm(config: None, context: BuildContext) -> ImageBlueprint:
    """Gated group normalisation; initially 0: 2C + 1 parameters."""
    return ImageBlueprint(_gated_norm, ("image", "sequence"))


@frozen
class AttentionBlueprint(ImageBlueprint):
    """Kind `blueprint`: on sequences the attention of positions to each other, on images that of channels."""

    topologies: tuple[str, ...] = ("image", "sequence")

    def on(self, topology: str) -> ImageBlueprint:
        """Return what it is on hosts of a topology."""
        return self if topology == "image" else ImageBlueprint(_self_attention, ("sequence",))


def attention(config: AttentionConfig, context: BuildContext) -> AttentionBlueprint:
    """Squeeze-and-excitation over channels; on sequences self-attention of positions."""
    return AttentionBlueprint(partial(SqueezeExcite, reduction=config.reduction))
