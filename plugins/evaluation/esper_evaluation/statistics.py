"""Interquartile means, and how sure they are: bootstrap intervals over instances and policy seeds.

What an arm achieved is an array `[S, I]`: policy seeds, then instances. An arm without a policy has one row, which
stands for every seed. Every resample draws the same instances for all arms, since all have played the same ones, and
the same seeds for all that have policies; so what arms have in common cancels out of their differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from esper_evaluation.student import CONFIDENCE

Values = NDArray[np.float64]
Location = Callable[[Values], Values]
"""Where values lie, `[..., S, I]` → `[...]`."""

TAIL = (1 - CONFIDENCE) / 2
RESAMPLES = 10_000
TRIMMED = 0.25
"""Share of the values that is left out at either end."""


@frozen
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    def __neg__(self) -> Estimate:
        """Return the estimate of minus the number."""
        return Estimate(-self.value, -self.high, -self.low)


def iqm(values: Values) -> Values:
    """Return the mean of the middle half along the last axis, `[..., K]` → `[...]`.

    It is 2·∫ Q(u) du from u = ¼ to ¾, where Q is the empirical quantile function. A value at a quartile counts by the
    share of it that lies within, so that any number of copies of the same values has the same mean. Where K is a
    multiple of 4 it is `scipy.stats.trim_mean(values, 0.25)`.
    """
    count = values.shape[-1]
    ends = np.clip(np.arange(count + 1) / count, TRIMMED, 1 - TRIMMED)
    return np.asarray((np.sort(values, axis=-1) * (np.diff(ends) / (1 - 2 * TRIMMED))).sum(axis=-1))


def pooled_iqm(values: Values) -> Values:
    """Return the IQM over seeds and instances, `[..., S, I]` → `[...]`."""
    return iqm(values.reshape(*values.shape[:-2], -1))


def pooled_mean(values: Values) -> Values:
    """Return the mean over seeds and instances, `[..., S, I]` → `[...]`."""
    return np.asarray(values.mean(axis=(-2, -1)))


@frozen(eq=False)
class Sampled:
    """A number, and what the resamples make of it.

    Attributes:
        draws: The same of every resample, `[R]`.
    """

    value: float
    draws: Values = field(repr=False)

    @property
    def estimate(self) -> Estimate:
        """The number with its percentile interval."""
        low, high = np.quantile(self.draws, [TAIL, 1 - TAIL])
        return Estimate(self.value, float(low), float(high))

    def __sub__(self, other: Sampled) -> Sampled:
        """Return the difference, resample by resample."""
        return Sampled(self.value - other.value, self.draws - other.draws)

    def __neg__(self) -> Sampled:
        """Return minus the number."""
        return Sampled(-self.value, -self.draws)


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
    def draw(cls, instances: int, seeds: int, resamples: int = RESAMPLES, together: int = 1) -> Bootstrap:
        """Draw as many instances and seeds as there are, with replacement.

        So many instances side by side are drawn `together`, because they are no independent ones.

        Raises:
            ValueError: their number does not divide that of the instances.
        """
        if instances % together:
            raise ValueError(f"{instances} instances cannot be drawn {together} at a time")
        generator = np.random.default_rng(0)
        first = generator.integers(instances // together, size=(resamples, instances // together)) * together
        drawn = (first[:, :, None] + np.arange(together)).reshape(resamples, -1)
        return cls(drawn, generator.integers(seeds, size=(resamples, seeds)))

    def sampled(self, location: Location, values: Values) -> Sampled:
        """Return where an arm's values `[S, I]` lie, S that of the bootstrap, or 1.

        One row is repeated for every seed, so that an arm is computed like any other with the same values, and two
        that have achieved the same differ by exactly 0.
        """
        rows = np.broadcast_to(values, (self.seeds.shape[1], values.shape[1]))
        resampled = rows[self.seeds[:, :, None], self.instances[:, None, :]]
        return Sampled(float(location(np.ascontiguousarray(rows))), location(resampled))


def margin(arm: Sampled, rivals: Sequence[Sampled]) -> tuple[int, Estimate]:
    """Return which rival is the best, and how far an arm is above the best of them; more is better.

    Which rival is the best is chosen by the values that are compared. The best of several looks better than it is, so
    the interval is one for δ = arm − max over rivals, or the least of the differences δ_r = arm − r, whichever rival
    that is:

    - δ is above the least of the lower ends of all δ_r, each at 2.5 % alone: for all of them to be too high, that of
      the least δ_r must be (intersection-union, Berger, 1982).
    - δ is below the least of the upper ends, where these hold for all δ_r together at 2.5 %: each is the same quantile
      of its δ_r's resamples, the smallest that no δ_r exceeds in 97.5 % of the resamples (the maximum over rivals, as
      in White's reality check, 2000, balanced between rivals as in Beran, 1988).

    With one rival both ends are the percentile interval. The value itself is that against the rival that looks best,
    and so leans to the rival's side.
    """
    differences = [arm - rival for rival in rivals]
    drawn = np.stack([difference.draws for difference in differences])
    ranks = [np.searchsorted(np.sort(draws), draws) for draws in drawn]
    level = np.quantile(np.max(ranks, axis=0), 1 - TAIL) / (drawn.shape[1] - 1)
    low, high = np.quantile(drawn, TAIL, axis=1).min(), np.quantile(drawn, level, axis=1).min()
    best = int(np.argmin([difference.value for difference in differences]))
    return best, Estimate(differences[best].value, float(low), float(high))
