"""Layers for images of one or two axes of space."""

from __future__ import annotations

from typing import Any

from torch import nn

CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
POOLS: dict[int, type[nn.MaxPool1d | nn.MaxPool2d]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d}
AVERAGES: dict[int, type[nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d]] = {
    1: nn.AdaptiveAvgPool1d,
    2: nn.AdaptiveAvgPool2d,
}


def convolution(axes: int, inputs: int, outputs: int, kernel: int, **options: Any) -> nn.Conv1d | nn.Conv2d:
    """Return a convolution without bias that keeps the size of `axes` axes; `kernel` is odd."""
    return CONVOLUTIONS[axes](inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)
