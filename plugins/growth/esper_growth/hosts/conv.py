"""The host `conv`: a small ordinary convolutional network, 8-16-32 channels wide by default."""

from __future__ import annotations

from torch import nn

from esper_core.contracts.protocols import BuildContext
from esper_growth.config import ConvConfig
from esper_growth.hosts.segments import Segments, block

BLOCKS = 3
"""Least number of blocks; the first three widen, and are pooled while the image is large enough."""


class ConvHost:
    """Kind `host`: max(N, 3) blocks of [3×3 convolution, GroupNorm, ReLU], the first three pooled by 2.

    Blocks 0, 1 and 2 are `width`, 2·`width` and 4·`width` channels wide, later ones as wide as block 2.
    """

    topology = "image"

    def __init__(self, config: ConvConfig, context: BuildContext) -> None:
        self.config = config
        self.name = f"conv-w{config.width}g{config.groups}"

    def build(self, num_slots: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return one host for inputs `[B, C, H, W]`; slot i lies behind block i and its pool."""
        channels, size = input_shape[0], min(input_shape[1:])
        blocks: list[nn.Module] = []
        for index in range(max(num_slots, BLOCKS)):
            width = self.config.width * 2 ** min(index, BLOCKS - 1)
            pool = index < BLOCKS and size >= 2
            blocks.append(block(2, channels, width, 3, self.config.groups, pool=pool))
            size, channels = size // 2 if pool else size, width
        return Segments.of_blocks(blocks, num_slots, channels, classes)
