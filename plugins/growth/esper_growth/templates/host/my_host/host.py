"""The host `my-host`: patches, then blocks that mix channels, with a slot behind each block."""

from __future__ import annotations

from torch import nn

from esper_core.contracts.protocols import BuildContext
from esper_growth.hosts.segments import Segments
from my_host.config import MyHostConfig


class MyHost:
    """Kind `host`: N blocks of [1×1 convolution, GroupNorm, ReLU], the first of patches instead of pixels.

    A host should be weak alone, or there is nothing to grow for: beyond its patch none of these blocks sees a
    neighbour.
    """

    # Blueprints say on which topologies they are legal.
    topology = "image"

    def __init__(self, config: MyHostConfig, context: BuildContext) -> None:
        self.config = config
        # Curves of hosts that never grow are kept under this name, so it holds every option that changes the host.
        self.name = f"my-host-w{config.width}p{config.patch}"

    def build(self, num_slots: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return one host for inputs `[B, C, H, W]`; slot i lies behind block i."""
        channels, patch = input_shape[0], min(self.config.patch, *input_shape[1:])
        blocks: list[nn.Module] = []
        for index in range(num_slots):
            size = patch if index == 0 else 1
            blocks.append(
                nn.Sequential(
                    nn.Conv2d(channels, self.config.width, kernel_size=size, stride=size, bias=False),
                    # Not BatchNorm: a host has no state beyond its parameters.
                    nn.GroupNorm(1, self.config.width),
                    nn.ReLU(),
                )
            )
            channels = self.config.width
        # One segment more than slots: the last holds the classifier, and no slot lies behind it.
        return Segments.of_blocks(blocks, num_slots, channels, classes)
