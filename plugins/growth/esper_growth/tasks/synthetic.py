"""The task `synthetic`: made-up images for measuring speed. Each class is a coloured blob at a place of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext
from esper_growth.config import SyntheticConfig
from esper_growth.protocols import Split
from esper_growth.tasks.classification import ClassificationTask

VALIDATION, TEST = 64, 64
SEED = 0


def synthetic(config: SyntheticConfig, context: BuildContext) -> ClassificationTask:
    """Return the splits; inputs `[S, channels, size, size]`, each its class' blob plus Gaussian noise."""
    generator = torch.Generator().manual_seed(SEED)
    means = _blobs(config, generator)

    def split(samples: int) -> Split:
        targets = torch.arange(samples) % config.classes
        noise = torch.randn(samples, config.channels, config.size, config.size, generator=generator)
        inputs = means[targets] + config.noise * noise
        return Split(inputs.to(context.device, context.dtype), targets.to(context.device))

    return ClassificationTask(
        name=f"synthetic-{config.samples}x{config.channels}x{config.size}-c{config.classes}n{config.noise:g}",
        classes=config.classes,
        train=split(config.samples),
        validation=split(VALIDATION),
        test=split(TEST),
    )


def _blobs(config: SyntheticConfig, generator: torch.Generator) -> Tensor:
    """Return the mean image of every class, `[classes, channels, size, size]`: blobs on a circle, colours drawn."""
    angle = torch.arange(config.classes) * (2 * math.pi / config.classes)
    centre, radius, width = (config.size - 1) / 2, config.size / 4, config.size / 8
    axis = torch.arange(config.size, dtype=torch.float32)
    rows = (axis - (centre + radius * angle.sin())[:, None]).square()
    columns = (axis - (centre + radius * angle.cos())[:, None]).square()
    bump = torch.exp(-(rows[:, :, None] + columns[:, None, :]) / (2 * width**2))
    colour = torch.rand(config.classes, config.channels, generator=generator) + 0.5
    return colour[:, :, None, None] * bump[:, None]
