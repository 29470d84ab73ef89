"""The host `pointwise`: a stack of 1×1 convolutions, weak because no block sees a pixel's neighbours."""

from __future__ import annotations

from torch import Tensor, nn

from esper_core.contracts.protocols import Build
from esper_growth.config import PointwiseConfig

MIN_BLOCKS = 3
POOLED_BLOCKS = (1, 3)


def global_average_classifier(channels: int, classes: int) -> nn.Sequential:
    """Return mean over space, then a linear layer: `[B, C, H, W]` → `[B, classes]`."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Segments(nn.Module):
    """A host as the composition of its segments; slot i lies behind segment i."""

    def __init__(self, segments: list[nn.Module]) -> None:
        super().__init__()
        self.segments = nn.ModuleList(segments)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs `[B, ...]` to logits `[B, classes]`."""
        for segment in self.segments:
            x = segment(x)
        return x


class PointwiseHost:
    """Kind `host`: max(N, 3) blocks of [1×1 convolution, GroupNorm, ReLU], pooled by 2 after blocks 1 and 3."""

    topology = "image"

    def __init__(self, config: PointwiseConfig, context: Build) -> None:
        self.config = config
        self.name = f"pointwise-w{config.width}g{config.groups}"

    def build(self, num_slots: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return one host for inputs `[B, C, H, W]`; slot i lies behind block i and its pool."""
        channels, blocks = input_shape[0], []
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
        tail = nn.Sequential(*blocks[num_slots:], global_average_classifier(channels, classes))
        return Segments([*blocks[:num_slots], tail])
