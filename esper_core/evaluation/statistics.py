"""Interquartile means, and how sure they are: bootstrap intervals over instances and policy seeds.

What an arm achieved is an array `[S, I]`: policy seeds, then instances. An arm without a policy has one row. Every
resample draws the same instances for all arms, since all have played the same ones, and the same seeds for all that
have policies; so what arms have in common cancels out of their differences.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Values = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 10_000
TRIMMED = 0.25
"""Share of the values that is left out at either end."""


@frozen
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


def iqm(values: Values) -> Values:
    """Return the mean of the middle half along the last axis, `[..., K]` → `[...]`.

    Of K values ⌊K/4⌋ are left out at either end, as `scipy.stats.trim_mean` does.
    """
    cut = int(TRIMMED * values.shape[-1])
    kept: Values = np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut]
    return np.asarray(kept.mean(axis=-1))


@frozen(eq=False)
class Bootstrap:
    """Which instances and seeds each resample holds, drawn once from a fixed seed.

    Attributes:
        instances: `[R, I]`.
        seeds: `[R, S]`.
    """

    instances: NDArray[np.int64]
    seeds: NDArray[np.int64]

    @classmethod
    def draw(cls, instances: int, seeds: int, resamples: int = RESAMPLES) -> Bootstrap:
        """Draw as many instances and seeds as there are, with replacement."""
        generator = np.random.default_rng(0)
        drawn = generator.integers(instances, size=(resamples, instances))
        return cls(drawn, generator.integers(seeds, size=(resamples, seeds)))

    def of(self, values: Values) -> Values:
        """Return all resamples of an arm's values `[S, I]`: `[R, S, I]`."""
        seeds = self.seeds if len(values) > 1 else np.zeros((len(self.seeds), 1), dtype=np.int64)
        resampled: Values = values[seeds[:, :, None], self.instances[:, None, :]]
        return resampled

    def estimate(self, statistic: Callable[..., Values], *arms: Values) -> Estimate:
        """Return a statistic of arms' values, with its percentile interval.

        Args:
            statistic: From one array `[..., S, I]` per arm to `[...]`.
            arms: Values `[S, I]` of each arm; S is that of the bootstrap, or 1.
        """
        resampled = statistic(*(self.of(values) for values in arms))
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(resampled, [tail, 100 - tail])
        return Estimate(float(statistic(*arms)), float(low), float(high))


def pooled_iqm(values: Values) -> Values:
    """Return the IQM over seeds and instances, `[..., S, I]` → `[...]`."""
    return iqm(values.reshape(*values.shape[:-2], -1))


def iqm_difference(first: Values, second: Values) -> Values:
    """Return IQM(first) − IQM(second) of `[..., S, I]` each."""
    return pooled_iqm(first) - pooled_iqm(second)


def mean_difference(first: Values, second: Values) -> Values:
    """Return the mean over seeds and instances of first − second, `[..., S, I]` each; one seed stands for all."""
    return np.asarray(first.mean(axis=-2) - second.mean(axis=-2)).mean(axis=-1)


def oracle_gap(*arms: Values) -> Values:
    """Return how much better, on average, the best arm per instance is than the single best arm; more is better.

    Each is `[..., S, I]`; seeds of an arm are averaged.
    """
    by_instance = np.stack([values.mean(axis=-2) for values in arms])
    return np.asarray(by_instance.max(axis=0).mean(axis=-1) - by_instance.mean(axis=-1).max(axis=0))
