"""How much of what a policy achieves is the instance, and how much is luck. No torch is imported."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from esper_evaluation.statistics import RESAMPLES, TAIL, Estimate, Values


@frozen
class Parts:
    """What the variance of episodes `[I, R]`, R on each of I instances, is made of.

    Attributes:
        between: Variance of what instances give on average, σ_u². Where it is nothing the estimate may lie below 0.
        within: Variance of episodes on one instance, σ_w².
    """

    mean: float
    between: Estimate
    within: Estimate

    def weight(self, repeats: int) -> float:
        """Return by how much the mean of the other K − 1 repeats on an instance is best weighted as a baseline.

        It estimates what the instance gives, with an error of variance σ_w²/(K − 1): β = σ_u²/(σ_u² + σ_w²/(K − 1)).
        """
        known = max(0.0, self.between.value)
        return known / (known + self.within.value / (repeats - 1)) if known > 0.0 else 0.0

    def left(self, repeats: int) -> float:
        """Return the share of the variance that such a baseline leaves: (σ_u²·(1 − β) + σ_w²)/(σ_u² + σ_w²)."""
        known = max(0.0, self.between.value)
        whole = known + self.within.value
        return (known * (1.0 - self.weight(repeats)) + self.within.value) / whole if whole > 0.0 else 1.0


def parts_of(values: Values, resamples: int = RESAMPLES) -> Parts:
    """Return what the variance of values `[I, R]` is made of: random effects of instances, by the method of moments.

    σ_w² is the mean of the instances' own variances, σ_u² the variance of their means less σ_w²/R, so neither is
    biased. Intervals are percentiles of resamples of the instances. Both I and R are 2 at least.
    """
    repeats = values.shape[1]
    means, own = values.mean(axis=1), values.var(axis=1, ddof=1)
    drawn = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    ends = [TAIL, 1 - TAIL]
    within = own[drawn].mean(axis=1)
    between = means[drawn].var(axis=1, ddof=1) - within / repeats
    return Parts(
        float(values.mean()),
        Estimate(float(means.var(ddof=1) - own.mean() / repeats), *np.quantile(between, ends).tolist()),
        Estimate(float(own.mean()), *np.quantile(within, ends).tolist()),
    )
