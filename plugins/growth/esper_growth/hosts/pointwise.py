"""The host `pointwise`: a stack of 1×1 convolutions, weak because no block sees a pixel's neighbours."""

from __future__ import annotations

from torch import nn

from esper_core.contracts.protocols import Build
from esper_growth.config import PointwiseConfig
from esper_growth.hosts.segments import Segments

MIN_BLOCKS = 3
POOLED_BLOCKS = (1, 3)


class PointwiseHost:
    """Kind `host`: max(N, 3) blocks of [1×1 convolution, GroupNorm, ReLU], pooled by 2 after blocks 1 and 3."""

    topology = "image"

    def __init__(self, config: PointwiseConfig, context: Build) -> None:
        self.config = config
        self.name = f"pointwise-w{config.width}g{config.groups}"

    def build(self, num_slots: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return one host for inputs `[B, C, H, W]`; slot i lies behind block i and its pool."""
        channels = input_shape[0]
        blocks: list[nn.Module] = []
        for index in range(max(num_slots, MIN_BLOCKS)):
            layers: list[nn.Module] = [
                nn.Conv2d(channels, self.config.width, kernel_size=1, bias=False),
                nn.GroupNorm(self.config.groups, self.config.width),
                nn.ReLU(),
            ]
            if index in POOLED_BLOCKS:
                layers.append(nn.MaxPool2d(2))
            blocks.append(nn.Sequential(*layers))
            channels = self.config.width
        return Segments.of_blocks(blocks, num_slots, channels, classes)
