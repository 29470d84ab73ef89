"""What a contest shows: how good each arm is, and whether the policy beats the best rule. No torch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import asdict, frozen

from esper_core.contracts.state import Outcome
from esper_evaluation.arms import POLICY, Arm
from esper_evaluation.knowledge import oracle_gap
from esper_evaluation.looked import IQM, PAIRED
from esper_evaluation.statistics import Bootstrap, Estimate, Sampled, Values, margin, pooled_iqm, pooled_mean
from esper_evaluation.stratified import paired_mean


@frozen
class Contrast:
    """The policy against the best rule, by the first outcome.

    Attributes:
        rule: Name of the best rule: on these instances by what is compared, or chosen on training instances.
        delta: The policy's number minus that of the rule. Where the rule was chosen by the same instances the interval
            allows for it; see `statistics.margin`.
    """

    rule: str
    delta: Estimate
    higher_is_better: bool

    @property
    def name(self) -> str:
        """What is subtracted from what."""
        return f"{POLICY} - {self.rule}"

    @property
    def verdict(self) -> str:
        """What the interval of the difference says, in words."""
        if self.delta.low <= 0.0 <= self.delta.high:
            return "no difference shown"
        return "better" if (self.delta.low > 0.0) == self.higher_is_better else "worse"


@frozen
class Group:
    """Arms side by side on the instances that have something in common.

    Attributes:
        arms: Arm → outcome → IQM, or mean, with its interval, in the order of the comparison.
    """

    instances: int
    arms: Mapping[str, Mapping[str, Estimate]]


@frozen
class Comparison:
    """Arms side by side.

    Attributes:
        outcomes: What is compared; arms are ordered and contrasted by the first.
        arms: Arm → outcome → IQM, or the mean of an outcome that is compared by it, with its interval; the best arm
            comes first.
        best_rule: Name of the best rule, which the primary contrast is to; None without rules.
        primary: The policy against it, by what was declared to decide; None without the policy, or without rules.
        declared: What that is, one of PRIMARIES.
        iqm: The policy against the rule that is best on these instances, by what arms are compared by.
        mean: The same by means over the instances; None where `paired-mean` decides, which says it better.
        kinds: Kind of instance → how many there are, and the mean difference to the best rule there, with its interval
            unless there is one alone; where `paired-mean` decides, and there are several.
        against: Arm that is neither → the policy minus it, as the primary contrast takes the difference; where
            `paired-mean` decides.
        training: Rule → mean of the first outcome on training instances, where the best rule was chosen there.
        oracle_gap: How much better it would be to take the best rule of each kind of instance than the single best one;
            None where there is nothing to choose by.
        told_apart_by: The words that make the kinds.
        groups: What instances have in common, such as a host → the arms on these.
    """

    outcomes: Sequence[Outcome]
    arms: Mapping[str, Mapping[str, Estimate]]
    instances: Sequence[int]
    seeds: Sequence[int]
    best_rule: str | None
    primary: Contrast | None
    declared: str
    iqm: Contrast | None
    mean: Contrast | None
    kinds: Mapping[str, tuple[int, Estimate | float]]
    against: Mapping[str, Estimate]
    training: Mapping[str, float]
    oracle_gap: Estimate | None
    told_apart_by: Sequence[str]
    groups: Mapping[str, Group]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON-able values."""
        primary, gap = self.primary, self.oracle_gap
        return {
            "arms": _document(self.arms, self.outcomes),
            "primary": primary
            and {
                "contrast": primary.name,
                "by": self.declared,
                "delta": primary.delta.value,
                "low": primary.delta.low,
                "high": primary.delta.high,
            },
            "instances": len(self.instances),
            "seeds": len(self.seeds),
            "secondary": {
                "best_rule": self.best_rule,
                "verdict": primary and primary.verdict,
                "iqm_difference": self.iqm and {"contrast": self.iqm.name, **asdict(self.iqm.delta)},
                "mean_difference": self.mean and {"contrast": self.mean.name, **asdict(self.mean.delta)},
                "kinds": {
                    kind: {"instances": count, **(asdict(d) if isinstance(d, Estimate) else {"value": d})}
                    for kind, (count, d) in self.kinds.items()
                },
                "against": {arm: asdict(difference) for arm, difference in self.against.items()},
                "training": dict(self.training),
                "oracle_gap": gap and {"by": list(self.told_apart_by), **asdict(gap)},
            },
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "instance_numbers": list(self.instances),
            "policy_seeds": list(self.seeds),
            "groups": {
                name: {"instances": group.instances, "arms": _document(group.arms, self.outcomes)}
                for name, group in self.groups.items()
            },
        }


def compare(
    arms: Sequence[Arm],
    outcomes: Sequence[Outcome],
    values: Mapping[str, Mapping[str, Values]],
    instances: Sequence[int],
    seeds: Sequence[int],
    tags: Sequence[Mapping[str, str]] = (),
    by: str | None = None,
    together: int = 1,
    declared: str = IQM,
    training: Mapping[str, Mapping[str, float]] | None = None,
) -> Comparison:
    """Compare arms that have played the same instances.

    Args:
        arms: The arms.
        outcomes: What was measured.
        values: Arm → outcome → `[S, I]`, with one row for an arm without a policy.
        instances: Numbers of the instances, I.
        seeds: Policy seeds, S.
        tags: What the environment says in words about each instance, I: name → text.
        by: The word whose groups are compared as well, and that makes the kinds of `oracle_gap`; without it all words
            together make the kinds, and there are no groups.
        together: Instances side by side that are one, seen from so many sides; no group may part them.
        declared: What decides, one of PRIMARIES.
        training: Rule → outcome → mean on training instances, by which the best rule is chosen for `paired-mean`.
    """
    bootstrap = Bootstrap.draw(len(instances), len(seeds), together=together)
    sampled = _sampled(values, outcomes, bootstrap)
    first = outcomes[0]
    sign = 1.0 if first.higher_is_better else -1.0
    order = sorted(sampled, key=lambda name: -sign * sampled[name][first.name].value)
    rules = [name for name in order if any(arm.name == name and arm.rule is not None for arm in arms)]
    primary = iqm = mean = gap = None
    best = rules[0] if rules else None
    by_kind: Mapping[str, tuple[int, Estimate | float]] = {}
    against: dict[str, Estimate] = {}
    achieved = {name: known[first.name] for name, known in (training or {}).items()}
    words = sorted(set().union(*tags)) if by is None else [by]
    if rules and words:
        kinds = [tuple(own.get(word) for word in words) for own in tags]
        gap = oracle_gap(np.concatenate([sign * values[name][first.name] for name in rules]), kinds)
    if rules and POLICY in sampled:
        primary = iqm = _contrast({name: sampled[name][first.name] for name in (POLICY, *rules)}, first)
        means = {name: bootstrap.sampled(pooled_mean, values[name][first.name]) for name in (POLICY, *rules)}
        mean = _contrast(means, first)
        if declared == PAIRED:
            best = max(achieved, key=lambda name: sign * achieved[name])
            named = [", ".join(own[word] for word in words if word in own) for own in tags] or [""] * len(instances)
            apart = {
                name: paired_mean(values[POLICY][first.name] - values[name][first.name], named, together)
                for name in order
                if name != POLICY
            }
            found = apart.pop(best)
            primary, mean = Contrast(best, found.estimate, first.higher_is_better), None
            by_kind = found.kinds if len(found.kinds) > 1 else {}
            against = {name: other.estimate for name, other in apart.items()}
    common = [] if by is None else [own[by] for own in tags]
    return Comparison(
        outcomes=outcomes,
        arms={name: _estimates(sampled[name]) for name in order},
        instances=instances,
        seeds=seeds,
        best_rule=best,
        primary=primary,
        declared=declared,
        iqm=iqm,
        mean=mean,
        kinds=by_kind,
        against=against,
        training=achieved,
        oracle_gap=gap,
        told_apart_by=words,
        groups={
            name: _group({arm: values[arm] for arm in order}, outcomes, name, common, len(seeds), together)
            for name in sorted({*common})
        },
    )


def _contrast(achieved: Mapping[str, Sampled], outcome: Outcome) -> Contrast:
    """Return the policy against the best of the others."""
    rules = [name for name in achieved if name != POLICY]
    signed = achieved if outcome.higher_is_better else {name: -value for name, value in achieved.items()}
    best, delta = margin(signed[POLICY], [signed[name] for name in rules])
    return Contrast(rules[best], delta if outcome.higher_is_better else -delta, outcome.higher_is_better)


def _group(
    values: Mapping[str, Mapping[str, Values]],
    outcomes: Sequence[Outcome],
    name: str,
    common: Sequence[str],
    seeds: int,
    together: int,
) -> Group:
    members = [i for i, other in enumerate(common) if other == name]
    within = {arm: {o: array[:, members] for o, array in found.items()} for arm, found in values.items()}
    sampled = _sampled(within, outcomes, Bootstrap.draw(len(members), seeds, together=together))
    return Group(len(members), {arm: _estimates(found) for arm, found in sampled.items()})


def _sampled(
    values: Mapping[str, Mapping[str, Values]], outcomes: Sequence[Outcome], bootstrap: Bootstrap
) -> dict[str, dict[str, Sampled]]:
    means = {outcome.name for outcome in outcomes if outcome.by_mean}
    return {
        arm: {
            outcome: bootstrap.sampled(pooled_mean if outcome in means else pooled_iqm, array)
            for outcome, array in found.items()
        }
        for arm, found in values.items()
    }


def _estimates(found: Mapping[str, Sampled]) -> dict[str, Estimate]:
    return {outcome: sampled.estimate for outcome, sampled in found.items()}


def _document(arms: Mapping[str, Mapping[str, Estimate]], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    means = {outcome.name for outcome in outcomes if outcome.by_mean}
    return {
        arm: {
            name: {"mean" if name in means else "iqm": estimate.value, "low": estimate.low, "high": estimate.high}
            for name, estimate in estimates.items()
        }
        for arm, estimates in arms.items()
    }
