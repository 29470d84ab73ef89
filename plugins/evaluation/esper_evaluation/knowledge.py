"""What it would be worth to a chooser among rules to know what kind of instance it has."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_evaluation.statistics import RESAMPLES, TAIL, Estimate, Values

AT_ONCE = 2_000_000
"""Numbers that are worked on at once."""


@frozen(eq=False)
class _Kinds:
    """Instances in the order of their kinds.

    Attributes:
        order: Their indices `[I]`.
        starts: Where each kind begins in that order, `[K]`.
        of: The kind of each, `[I]`, in that order.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    of: NDArray[np.int64]

    @classmethod
    def told(cls, kinds: Sequence[Hashable]) -> _Kinds:
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
        of = np.array([numbers[kind] for kind in kinds])
        order = np.argsort(of, kind="stable")
        return cls(order, np.searchsorted(of[order], np.arange(len(numbers))), of[order])

    def gap(self, values: Values, single: int) -> Values:
        """Return the gap to one rule of outcomes `[..., N, I]` whose instances are in the order of their kinds."""
        here = np.add.reduceat(values, self.starts, axis=-1)[..., self.of] - values
        anywhere = values.sum(axis=-1, keepdims=True) - values
        alone = np.bincount(self.of)[self.of] == 1
        by_kind = np.where(alone, anywhere, here).argmax(axis=-2)
        chosen = np.take_along_axis(values, by_kind[..., None, :], axis=-2)[..., 0, :]
        return np.asarray((chosen - values[..., single, :]).mean(axis=-1))


def oracle_gap(rules: Values, kinds: Sequence[Hashable], permutations: int = RESAMPLES) -> Estimate | None:
    """Return how much better it is to take the best rule of an instance's kind than the single best rule.

    Every rule has played every instance once, so what is luck on an instance cannot be told from what the instance is
    like, and the best rule of every instance in hindsight is far above the single best one even where all are equal.
    What can be known is what instances have in common. So each instance i is scored by a rule that was chosen on other
    instances alone (cross-validation, Stone, 1974):

        gap = mean over i of x(k_i, i) − max over rules r of mean over i of x(r, i)
        k_i = the rule of the highest mean on the other instances of i's kind, or on all others where there are none

    The single best rule is chosen in hindsight, which favours it, so luck gains nothing on average. How far luck goes
    is what the gap comes to when kinds are dealt to instances at random (a permutation test, Fisher, 1935): the
    interval is the gap less the middle 95 % of that and 0. It lies above 0 only where the gap is positive and fewer
    than 2.5 % of random deals give one as large, and this holds for any number of instances and any distribution. What
    is hard or easy for all rules alike does not matter.

    Args:
        rules: Outcomes `[N, I]`, of which more is better.
        kinds: The kind of each instance, I.
        permutations: How often kinds are dealt.

    Returns:
        The gap with its interval; None where there is nothing to choose by: fewer than two rules, instances all of one
        kind, or each of its own.
    """
    count = len(kinds)
    if len(rules) < 2 or not 1 < len(set(kinds)) < count:
        return None
    sorted_kinds = _Kinds.told(kinds)
    values, single = rules[:, sorted_kinds.order], int(rules.mean(axis=1).argmax())
    generator = np.random.default_rng(0)
    step = max(1, AT_ONCE // values.size)
    chance = []
    for first in range(0, permutations, step):
        deals = np.tile(np.arange(count), (min(step, permutations - first), 1))
        chance.append(sorted_kinds.gap(values[:, generator.permuted(deals, axis=1)].swapaxes(0, 1), single))
    gap = float(sorted_kinds.gap(values, single))
    low, high = np.quantile(np.append(np.concatenate(chance), gap), [TAIL, 1 - TAIL], method="higher")
    return Estimate(gap, gap - max(float(high), 0.0), gap - min(float(low), 0.0))
