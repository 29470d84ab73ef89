"""The task `my-task`: images of stripes, classified by their direction."""

from __future__ import annotations

import math

import torch

from esper_core.contracts.protocols import BuildContext
from esper_growth.protocols import Split
from esper_growth.tasks.classification import ClassificationTask
from my_task.config import MyTaskConfig

SIZE, PERIOD = 8, 4
VALIDATION, TEST = 200, 200
SEED = 0
"""The data is the same in every run: it is the policy that should differ, not what it is judged on."""


def my_task(config: MyTaskConfig, context: BuildContext) -> ClassificationTask:
    """Return the splits; inputs `[S, 1, 8, 8]`.

    The phase of the stripes is drawn for each image, so that no pixel by itself tells anything about the direction: a
    host has to grow something that sees a pixel's neighbours.
    """
    generator = torch.Generator().manual_seed(SEED)

    def split(samples: int) -> Split:
        # All splits are drawn from one stream, one after another, so none shares a sample with another.
        targets = torch.arange(samples) % config.directions
        angle = (targets * (math.pi / config.directions)).view(-1, 1, 1)
        phase = 2 * math.pi * torch.rand(samples, 1, 1, generator=generator)
        rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        across = columns * angle.cos() + rows * angle.sin()
        stripes = torch.sin(2 * math.pi / PERIOD * across + phase)
        noise = config.noise * torch.randn(stripes.shape, generator=generator)
        return Split((stripes + noise).unsqueeze(1).to(context.device, context.dtype), targets.to(context.device))

    return ClassificationTask(
        # Curves of hosts that never grow are kept under this name, so it holds every option that changes the data.
        name=f"my-task-{config.samples}-d{config.directions}n{config.noise:g}",
        classes=config.directions,
        train=split(config.samples),
        validation=split(VALIDATION),
        test=split(TEST),
    )
