"""What hosts are made of: segments, with a slot behind each but the last."""

from __future__ import annotations

from torch import Tensor, nn

from esper_growth.layers import AVERAGES, POOLS, convolution


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

    @classmethod
    def of_blocks(cls, blocks: list[nn.Module], num_slots: int, channels: int, classes: int, axes: int = 2) -> Segments:
        """Return a host that classifies the output of all blocks; slot i lies behind block i.

        Args:
            blocks: At least `num_slots` modules from image to image.
            num_slots: N.
            channels: Channels of the last block's output.
            classes: Classes of the task.
            axes: Axes of space.
        """
        tail = nn.Sequential(*blocks[num_slots:], global_average_classifier(channels, classes, axes))
        return cls([*blocks[:num_slots], tail])


def block(axes: int, inputs: int, width: int, kernel: int, groups: int, *, pool: bool) -> nn.Sequential:
    """Return [convolution, GroupNorm, ReLU] for images of `axes` axes, then a max-pool by 2 if wanted."""
    layers = [convolution(axes, inputs, width, kernel), nn.GroupNorm(groups, width), nn.ReLU()]
    return nn.Sequential(*layers, *([POOLS[axes](2)] if pool else []))


def global_average_classifier(channels: int, classes: int, axes: int = 2) -> nn.Sequential:
    """Return mean over space, then a linear layer: `[B, C, *spatial]` → `[B, classes]`."""
    return nn.Sequential(AVERAGES[axes](1), nn.Flatten(), nn.Linear(channels, classes))
