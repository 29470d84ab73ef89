"""What hosts are made of: segments with a slot behind each but the last."""

from __future__ import annotations

from torch import Tensor, nn

from esper_growth.layers import AVERAGES


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
        """Return a host whose slot i lies behind block i and which classifies what all blocks make of an image.

        Args:
            blocks: At least `num_slots` modules from image to image.
            num_slots: N.
            channels: Channels of the last block's output.
            classes: Classes of the task.
            axes: Axes of space.
        """
        tail = nn.Sequential(*blocks[num_slots:], global_average_classifier(channels, classes, axes))
        return cls([*blocks[:num_slots], tail])


def global_average_classifier(channels: int, classes: int, axes: int = 2) -> nn.Sequential:
    """Return mean over space, then a linear layer: `[B, C, *spatial]` → `[B, classes]`."""
    return nn.Sequential(AVERAGES[axes](1), nn.Flatten(), nn.Linear(channels, classes))
