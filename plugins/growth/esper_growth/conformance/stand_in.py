"""A small task and a small host of every topology, for checking one component alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from esper_growth.config import GrowthConfig
from esper_growth.hosts.segments import Segments
from esper_growth.layers import CONVOLUTIONS
from esper_growth.protocols import Split
from esper_growth.tasks.classification import ClassificationTask

SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "image": ((1, 8, 8), (3, 16, 16), (2, 20)),
    "sequence": ((4, 12),),
}
"""Topology → shapes `(C, *spatial)` of a sample."""

CLASSES, SAMPLES, WIDTH = 4, 24, 8

CONFIG = GrowthConfig(batch_size=SAMPLES, workers=1, host_lr=0.05)
"""One step per epoch."""

INSTANCES = (0, 1, 2, 3, 10**6)
"""Instances that a family is asked for."""


def task(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Any:
    """Return a task with inputs `[S, *shape]` of Gaussian noise around a mean per class."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(CLASSES, *shape, generator=generator, dtype=torch.float64)

    def split() -> Split:
        targets = torch.arange(SAMPLES) % CLASSES
        noise = torch.randn(SAMPLES, *shape, generator=generator, dtype=torch.float64)
        return Split((means[targets] + noise).to(dtype), targets)

    return ClassificationTask("stand-in", CLASSES, split(), split(), split())


class StandInHost:
    """Kind `host`: a pointwise convolution and a ReLU in front of every slot, for samples of any number of axes."""

    axes = (1, 2)

    def __init__(self, topology: str) -> None:
        self.topology = topology
        self.name = f"stand-in-{topology}"

    def build(self, num_slots: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return one host for inputs `[B, C, *spatial]` with one or two axes of space."""
        axes, widths = len(input_shape) - 1, [input_shape[0], *[WIDTH] * num_slots]
        blocks: list[nn.Module] = [nn.Sequential(CONVOLUTIONS[axes](a, b, 1), nn.ReLU()) for a, b in pairwise(widths)]
        return Segments.of_blocks(blocks, num_slots, WIDTH, classes, axes)
