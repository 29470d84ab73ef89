"""The task `mnist1d`: digits as curves, after MNIST-1D (Greydanus and Kobak, 2024), generated without any download.

A digit is a template of twelve points. A sample is its template, padded, scaled, moved, and drowned in noise that looks
like digits: a model must know shapes wherever they are. With `shuffle` all samples have their positions permuted alike,
which leaves nothing for a model that counts on neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from esper_core.contracts.protocols import Build
from esper_growth.config import Mnist1dConfig
from esper_growth.protocols import Split
from esper_growth.tasks.classification import ClassificationTask

LENGTH = 40
"""Points of a sample."""

TEMPLATES = np.array(
    [
        [0, 4, 7, 8, 9, 9, 9, 9, 8, 7, 4, 0],  # one long bow to the right
        [0, -8, -8, -6, -5, -3, -2, 0, 2, 4, 0, 0],  # a spike, then a slope back
        [0, 5, 8, 8, 5, 1, -1, -5, -8, -8, -5, 0],  # right, then left
        [0, 5, 8, 8, 5, 0, 0, 5, 8, 8, 5, 0],  # two bows to the right
        [0, -3, -5, -8, -10, -10, 0, 0, 0, 0, 0, 0],  # a slope to the left, then the stem
        [0, -8, -8, -8, -8, 0, 4, 6, 6, 4, -2, 0],  # a corner to the left, then a bow to the right
        [0, -4, -7, -8, -9, -9, -9, -9, -8, -7, -4, 0],  # one long bow to the left
        [0, 8, 8, 6, 5, 3, 2, 0, -2, -4, 0, 0],  # a corner to the right, then a slope
        [0, -5, -8, -8, -5, 0, 0, -5, -8, -8, -5, 0],  # two bows to the left
        [0, -5, -8, -8, -5, 0, 0, 0, 0, -2, -4, 0],  # a bow to the left, then a hook
    ],
    dtype=np.float64,
)
"""Outline of each digit, from top to bottom: how far right of its axis."""

LONG = 72
PADDING = (36, 60)
SCALE = 0.4
MOVE = 48
SMOOTH = 2.0
JITTER = 0.02
SHEAR = 0.75
AMPLITUDE = 6.0

TRAIN_SHARE, VALIDATION_SHARE = 0.64, 0.16


def mnist1d(config: Mnist1dConfig, context: Build) -> ClassificationTask:
    """Return the curves, inputs `[S, 1, 40]`, standardised; of all samples 64 % train, 16 % validation, 20 % test."""
    random = np.random.default_rng(config.seed)
    inputs, targets = generate(random, config.samples, config.noise)
    if config.shuffle:
        inputs = inputs[:, random.permutation(LENGTH)]
    inputs = (inputs - inputs.mean()) / inputs.std()
    pool, validation = int(TRAIN_SHARE * config.samples), int(VALIDATION_SHARE * config.samples)

    def split(first: int, last: int) -> Split:
        curves = torch.as_tensor(inputs[first:last], dtype=context.dtype).unsqueeze(1)
        return Split(curves.to(context.device), torch.as_tensor(targets[first:last]).to(context.device))

    return ClassificationTask(
        name="-",
        classes=10,
        train=split(0, pool),
        validation=split(pool, pool + validation),
        test=split(pool + validation, config.samples),
    )


def generate(random: np.random.Generator, samples: int, noise: float) -> tuple[Any, Any]:
    """Return curves `[samples, 40]` and their digits `[samples]`, every digit equally often."""
    targets = random.permutation(np.arange(samples) % len(TEMPLATES))
    shapes = TEMPLATES - TEMPLATES.mean(axis=1, keepdims=True)
    shapes /= shapes.std(axis=1, keepdims=True)
    shapes = (shapes - shapes[:, :1]) / AMPLITUDE
    points = TEMPLATES.shape[1]
    padding = random.integers(PADDING[0], PADDING[1] + 1, size=samples)
    at = np.linspace(0, 1, LONG) * (points + padding[:, None] - 1)
    left = np.minimum(at.astype(int), points - 2)
    inside = at <= points - 1
    part = at - left
    rows = shapes[targets][np.arange(samples)[:, None], left]
    following = shapes[targets][np.arange(samples)[:, None], left + 1]
    curves = np.where(inside, rows + part * (following - rows), 0.0)
    curves *= 1 + SCALE * (random.random((samples, 1)) - 0.5)
    moved = (np.arange(LONG) - random.integers(0, MOVE, size=(samples, 1))) % LONG
    curves = np.take_along_axis(curves, moved, axis=1)
    inside = np.take_along_axis(inside, moved, axis=1)
    curves = np.where(inside, curves, noise * smooth(random, samples))
    curves += JITTER * random.standard_normal((samples, LONG))
    curves -= SHEAR * (random.random((samples, 1)) - 0.5) * np.linspace(-0.5, 0.5, LONG)
    at = np.linspace(0, LONG - 1, LENGTH)
    left = np.minimum(at.astype(int), LONG - 2)
    return curves[:, left] + (at - left) * (curves[:, left + 1] - curves[:, left]), targets


def smooth(random: np.random.Generator, samples: int) -> Any:
    reach = int(4 * SMOOTH)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SMOOTH) ** 2)
    kernel /= kernel.sum()
    white = random.standard_normal((samples, LONG + 2 * reach))
    return sum(w * white[:, i : i + LONG] for i, w in enumerate(kernel))
