"""The hosts of one width: stacks of equal convolutions."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from esper_core.contracts.protocols import BuildContext
from esper_growth.config import UniformConfig
from esper_growth.hosts.segments import Segments, block

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
            pool = index in POOLED_BLOCKS
            blocks.append(block(axes, channels, width, self.kernel, self.config.groups, pool=pool))
            channels = width
        return Segments.of_blocks(blocks, num_slots, channels, classes, axes)


class PointwiseHost(UniformHost):
    """Convolutions of width 1: weak because no block sees the neighbours of a point."""

    kind, kernel = "pointwise", 1


class NarrowHost(UniformHost):
    """Convolutions of width 3 and few channels: sees neighbours, with little capacity."""

    kind, kernel = "narrow", 3


class CapableHost(UniformHost):
    """Wide convolutions of many channels: growing does not improve it."""

    kind, kernel = "capable", 5
