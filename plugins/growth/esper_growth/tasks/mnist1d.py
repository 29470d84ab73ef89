"""The task `mnist1d`: digits as curves, after MNIST-1D (Greydanus and Kobak, 2024), generated without any download.

A sample is the outline of a digit, padded, scaled, moved along, drowned in noise that looks like digits, and tilted: a
model must know shapes wherever they are. With `shuffle` the positions of all samples are permuted alike, which leaves
nothing for a model that counts on neighbours. `python benchmarks/mnist1d.py` shows how well known models do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import BuildContext
from esper_growth.config import Mnist1dConfig
from esper_growth.protocols import Split
from esper_growth.tasks.classification import ClassificationTask

OUTLINES = np.array(
    [
        [0, 4, 7, 8, 9, 9, 9, 9, 8, 7, 4, 0],  # 0: one long bow to the right
        [0, -8, -8, -6, -5, -3, -2, 0, 2, 4, 0, 0],  # 1: a corner to the left, then a slope
        [0, 5, 8, 8, 5, 1, -1, -5, -8, -8, -5, 0],  # 2: a bow to the right, then one to the left
        [0, 5, 8, 8, 5, 0, 0, 5, 8, 8, 5, 0],  # 3: two bows to the right
        [0, -3, -5, -8, -10, -10, 0, 0, 0, 0, 0, 0],  # 4: a slope to the left, then the stem
        [0, -8, -8, -8, -8, 0, 4, 6, 6, 4, -2, 0],  # 5: a corner to the left, then a bow to the right
        [0, -4, -7, -8, -9, -9, -9, -9, -8, -7, -4, 0],  # 6: one long bow to the left
        [0, 8, 8, 6, 5, 3, 2, 0, -2, -4, 0, 0],  # 7: a corner to the right, then a slope
        [0, -5, -8, -8, -5, 0, 0, -5, -8, -8, -5, 0],  # 8: two bows to the left
        [0, -5, -8, -8, -5, 0, 0, 0, 0, -2, -4, 0],  # 9: a bow to the left, then a hook
    ],
    dtype=np.float64,
)
"""Each digit from top to bottom: how far right of its axis it is."""

SPREAD = 6.0
"""A digit's height is chosen such that its points spread by one over this."""

PADDING = (36, 60)
"""Least and most points put behind the twelve of a digit."""

LONG, LENGTH = 72, 40
"""Points of a curve while it is made, and in the end."""

SCALING, MOVES, SMOOTHING, JITTER, TILT = 0.4, 48, 2.0, 0.02, 1.0

TRAIN_SHARE, VALIDATION_SHARE = 0.64, 0.16


def mnist1d(config: Mnist1dConfig, context: BuildContext) -> ClassificationTask:
    """Return the curves, inputs `[S, 1, 40]`; of all samples 64 % train, 16 % validation, 20 % test.

    All are standardised by mean and spread of those that are trained on.

    Raises:
        UserError: more training samples are wanted than there are.
    """
    train, validation = int(TRAIN_SHARE * config.samples), int(VALIDATION_SHARE * config.samples)
    if config.train_samples > train:
        raise UserError(
            f"task.train_samples={config.train_samples} is more than {train}, 64 % of task.samples={config.samples}.",
            hint="Lower the one or raise the other.",
        )
    random = np.random.default_rng(config.seed)
    curves, targets = draw(random, config.samples, config.noise)
    if config.shuffle:
        curves = curves[:, random.permutation(LENGTH)]
    seen = curves[: config.train_samples]
    mean, std = seen.mean(), seen.std()

    def split(first: int, last: int) -> Split:
        inputs = torch.as_tensor((curves[first:last, None] - mean) / std, dtype=context.dtype)
        return Split(inputs.to(context.device).contiguous(), torch.as_tensor(targets[first:last]).to(context.device))

    order = "-shuffled" if config.shuffle else ""
    return ClassificationTask(
        name=f"mnist1d{order}-{config.train_samples}of{config.samples}n{config.noise:g}s{config.seed}",
        classes=len(OUTLINES),
        train=split(0, config.train_samples),
        validation=split(train, train + validation),
        test=split(train + validation, config.samples),
        label=f"mnist1d{order}-{config.train_samples}",
    )


def draw(random: np.random.Generator, samples: int, noise: float) -> tuple[Any, Any]:
    """Return curves `[samples, 40]` and their digits `[samples]`, every digit as often as any other."""
    targets = random.permutation(np.arange(samples) % len(OUTLINES))
    padding = random.integers(PADDING[0], PADDING[1], size=(samples, 1), endpoint=True)
    last = OUTLINES.shape[1] - 1
    at = np.linspace(0, 1, LONG) * (last + padding)
    inside = at <= last
    curves = np.where(inside, _between(_scaled_outlines()[targets], np.minimum(at, last)), 0.0)
    curves *= 1 + SCALING * (random.random((samples, 1)) - 0.5)
    moved = (np.arange(LONG) - random.integers(0, MOVES, size=(samples, 1))) % LONG
    curves, inside = np.take_along_axis(curves, moved, axis=1), np.take_along_axis(inside, moved, axis=1)
    curves = np.where(inside, curves, noise * _smooth_noise(random, samples))
    curves += JITTER * random.standard_normal((samples, LONG))
    curves -= TILT * (random.random((samples, 1)) - 0.5) * np.linspace(-0.5, 0.5, LONG)
    return _between(curves, np.broadcast_to(np.linspace(0, LONG - 1, LENGTH), (samples, LENGTH))), targets


def _scaled_outlines() -> Any:
    """Return the outlines `[10, 12]`, all equally spread, from zero."""
    shapes = OUTLINES / OUTLINES.std(axis=1, keepdims=True) / SPREAD
    return shapes - shapes[:, :1]


def _between(curves: Any, at: Any) -> Any:
    """Return each of `curves [S, L]` at its fractional positions `[S, K]`, `[S, K]`."""
    left = np.minimum(at.astype(np.int64), curves.shape[1] - 2)
    before, after = (np.take_along_axis(curves, index, axis=1) for index in (left, left + 1))
    return before + (at - left) * (after - before)


def _smooth_noise(random: np.random.Generator, samples: int) -> Any:
    """Return white noise smoothed along the curve, `[samples, 72]`."""
    reach = int(4 * SMOOTHING)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SMOOTHING) ** 2)
    weights /= weights.sum()
    white = random.standard_normal((samples, LONG + 2 * reach))
    return sum(weight * white[:, shift : shift + LONG] for shift, weight in enumerate(weights))
