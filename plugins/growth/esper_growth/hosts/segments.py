"""What hosts are made of: segments with a slot behind each but the last."""

from __future__ import annotations

from torch import Tensor, nn


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
    def of_blocks(cls, blocks: list[nn.Module], num_slots: int, channels: int, classes: int) -> Segments:
        """Return a host whose slot i lies behind block i and which classifies what all blocks make of an image.

        Args:
            blocks: At least `num_slots` modules from image to image.
            num_slots: N.
            channels: Channels of the last block's output.
            classes: Classes of the task.
        """
        tail = nn.Sequential(*blocks[num_slots:], global_average_classifier(channels, classes))
        return cls([*blocks[:num_slots], tail])


def global_average_classifier(channels: int, classes: int) -> nn.Sequential:
    """Return mean over space, then a linear layer: `[B, C, H, W]` → `[B, classes]`."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
