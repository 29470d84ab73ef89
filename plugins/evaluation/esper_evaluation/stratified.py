"""The mean of paired differences, kind by kind: how far a policy is from one rule, and how sure that is.

Both have played the same instances, so differences are taken instance by instance first: what is hard for both cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_evaluation.statistics import RESAMPLES, TAIL, Estimate, Values
from esper_evaluation.student import t_quantile


@frozen(eq=False)
class Stratified:
    """A mean of differences, and the same within each kind.

    Attributes:
        kinds: Kind → how many instances it has, and the mean of the differences there; an interval of a single
            instance is None.
    """

    estimate: Estimate
    kinds: dict[str, tuple[int, Estimate | float]]


def paired_mean(differences: Values, kinds: Sequence[str], together: int = 1, resamples: int = RESAMPLES) -> Stratified:
    """Return the mean of differences `[S, I]` over policy seeds and instances, with a 95 % interval.

    The mean is that of the kinds, each weighted by its share of the instances. Resamples draw instances within their
    kind, so that how many of each kind there happen to be is no noise (stratified bootstrap), and policy seeds, across
    all instances. Of n instances n − 1 are drawn (Rao and Wu, 1988), of seeds too: a resample of n would be less spread
    than the mean is, by (n − 1) / n. Kinds of one instance are put together; the one that may remain alone joins the
    smallest other kind.

    Ends are the percentiles of the resamples, farther from the mean by as much as Student's t is wider than the normal
    distribution (cf. Hesterberg, 2015), with Satterthwaite's degrees of freedom for the variance of seeds and of each
    kind. Luck of one seed on one instance is drawn with both, which makes intervals a little too wide.

    Args:
        differences: What one has achieved minus what the other has.
        kinds: The kind of each instance, I.
        together: Instances side by side that are one, seen from so many sides; they are of one kind.
        resamples: R.

    Raises:
        ValueError: fewer than two independent instances.
    """
    seeds, count = len(differences), differences.shape[1] // together
    if count < 2:
        raise ValueError("an interval takes two instances that are independent of each other")
    units = differences.reshape(seeds, count, together).mean(axis=-1)
    own = list(kinds[::together])
    members = {kind: np.array([i for i, other in enumerate(own) if other == kind]) for kind in dict.fromkeys(own)}
    return Stratified(
        _estimate(units, _merged(list(members.values())), resamples),
        {
            kind: (
                len(which) * together,
                _estimate(units[:, which], [np.arange(len(which))], resamples)
                if len(which) > 1
                else float(units[:, which].mean()),
            )
            for kind, which in members.items()
        },
    )


def _merged(strata: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Return strata of two units at least."""
    found = [which for which in strata if len(which) > 1]
    alone = [which for which in strata if len(which) == 1]
    if len(alone) == 1:
        smallest = min(range(len(found)), key=lambda number: len(found[number]))
        found[smallest] = np.concatenate([found[smallest], *alone])
    elif alone:
        found.append(np.concatenate(alone))
    return found


def _estimate(units: Values, strata: Sequence[NDArray[np.int64]], resamples: int) -> Estimate:
    """Return the mean of units `[S, I]` and its interval."""
    seeds, count = units.shape
    generator, value = np.random.default_rng(0), float(units.mean())
    by_seed = _drawn(generator, seeds, resamples) if seeds > 1 else np.ones((resamples, 1))
    draws = np.zeros(resamples)
    for which in strata:
        weights = _drawn(generator, len(which), resamples) * (len(which) / count)
        draws += ((by_seed @ units[:, which]) * weights).sum(axis=1)
    # Each part of the variance of the mean, and its degrees of freedom.
    parts = [(units.mean(axis=1).var(ddof=1) / seeds, seeds - 1)] if seeds > 1 else []
    for which in strata:
        spread = units[:, which].mean(axis=0).var(ddof=1) / len(which)
        parts.append((spread * (len(which) / count) ** 2, len(which) - 1))
    variance = sum(part for part, _ in parts)
    uncertain = sum(part**2 / degrees for part, degrees in parts)
    stretch = 1.0
    if uncertain > 0.0:
        stretch = t_quantile(min(variance**2 / uncertain, 1e9)) / NormalDist().inv_cdf(1 - TAIL)
    low, high = np.quantile(draws, [TAIL, 1 - TAIL]) if variance > 0.0 else (value, value)
    return Estimate(value, value + stretch * float(low - value), value + stretch * float(high - value))


def _drawn(generator: np.random.Generator, count: int, resamples: int) -> Values:
    """Return weights `[R, count]`, each row's sum 1, of things of which a resample draws one less than there are."""
    return generator.multinomial(count - 1, np.full(count, 1.0 / count), size=resamples) / (count - 1)
