"""What the hosts of one width are: a stack of equal convolutions."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from esper_core.contracts.protocols import BuildContext
from esper_growth.config import UniformConfig
from esper_growth.hosts.segments import Segments
from esper_growth.layers import POOLS, convolution

MIN_BLOCKS = 3
POOLED_BLOCKS = (1, 3)


class UniformHost:
    """Kind `host`: max(N, 3) blocks of [convolution, GroupNorm, ReLU], pooled by 2 after blocks 1 and 3.

    Attributes:
        kind: First word of its name.
        kernel: Width of every convolution, along each axis.
    """

    topology = "image"
    axes = (1, 2)
    kind: ClassVar[str]
    kernel: ClassVar[int]

    def __init__(self, config: UniformConfig, context: BuildContext) -> None:
        self.config = config
        self.name = f"{self.kind}-w{config.width}g{config.groups}"

    def build(self, num_slots: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return one host for inputs `[B, C, L]` or `[B, C, H, W]`; slot i lies behind block i and its pool."""
        channels, *spatial = input_shape
        axes = len(spatial)
        width = self.config.width
        blocks: list[nn.Module] = []
        for index in range(max(num_slots, MIN_BLOCKS)):
            layers: list[nn.Module] = [
                convolution(axes, channels, width, self.kernel),
                nn.GroupNorm(self.config.groups, width),
                nn.ReLU(),
            ]
            if index in POOLED_BLOCKS:
                layers.append(POOLS[axes](2))
            blocks.append(nn.Sequential(*layers))
            channels = width
        return Segments.of_blocks(blocks, num_slots, channels, classes, axes)


class PointwiseHost(UniformHost):
    """Convolutions of width 1: weak because no block sees a point's neighbours."""

    kind, kernel = "pointwise", 1


class NarrowHost(UniformHost):
    """Convolutions of width 3 and few channels: sees neighbours, and cannot tell much of them."""

    kind, kernel = "narrow", 3


class CapableHost(UniformHost):
    """Wide convolutions of many channels: nothing that is grown makes it better."""

    kind, kernel = "capable", 5
