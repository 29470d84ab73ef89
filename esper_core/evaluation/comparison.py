"""What a contest shows: how good each arm is, and whether the policy beats the best rule. No torch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, frozen

from esper_core.contracts.state import Outcome
from esper_core.evaluation.arms import POLICY, Arm
from esper_core.evaluation.statistics import (
    Bootstrap,
    Estimate,
    Values,
    iqm_difference,
    mean_difference,
    oracle_gap,
    pooled_iqm,
)


@frozen
class Contrast:
    """The policy against the best rule, by the first outcome.

    Attributes:
        rule: Name of the best rule: that of the highest IQM on these instances, which favours it.
        delta: IQM of the policy minus that of the rule.
        mean: Mean of the differences, instance by instance.
        higher_is_better: Of the outcome.
    """

    rule: str
    delta: Estimate
    mean: Estimate
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
        instances: How many these are.
        arms: Arm → outcome → IQM with its interval, in the order of the comparison.
    """

    instances: int
    arms: Mapping[str, Mapping[str, Estimate]]


@frozen
class Comparison:
    """Arms side by side.

    Attributes:
        outcomes: What is compared; arms are ordered and contrasted by the first.
        arms: Arm → outcome → IQM with its interval; the best arm comes first.
        instances: Numbers of the instances.
        seeds: Policy seeds.
        best_rule: Name of the best rule; None without rules.
        primary: The policy against it; None without the policy, or without rules.
        oracle_gap: How much better, on average, the best rule per instance is than the single best; None without rules.
        groups: What instances have in common, such as a host → the arms on these.
    """

    outcomes: Sequence[Outcome]
    arms: Mapping[str, Mapping[str, Estimate]]
    instances: Sequence[int]
    seeds: Sequence[int]
    best_rule: str | None
    primary: Contrast | None
    oracle_gap: Estimate | None
    groups: Mapping[str, Group]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON-able values."""
        primary = self.primary
        return {
            "arms": _document(self.arms),
            "primary": primary
            and {
                "contrast": primary.name,
                "delta": primary.delta.value,
                "low": primary.delta.low,
                "high": primary.delta.high,
            },
            "instances": len(self.instances),
            "seeds": len(self.seeds),
            "secondary": {
                "best_rule": self.best_rule,
                "verdict": primary and primary.verdict,
                "mean_difference": primary and asdict(primary.mean),
                "oracle_gap": self.oracle_gap and asdict(self.oracle_gap),
            },
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "instance_numbers": list(self.instances),
            "policy_seeds": list(self.seeds),
            "groups": {
                name: {"instances": group.instances, "arms": _document(group.arms)}
                for name, group in self.groups.items()
            },
        }


def compare(
    arms: Sequence[Arm],
    outcomes: Sequence[Outcome],
    values: Mapping[str, Mapping[str, Values]],
    instances: Sequence[int],
    seeds: Sequence[int],
    common: Sequence[str] = (),
) -> Comparison:
    """Compare arms that have played the same instances.

    Args:
        arms: The arms.
        outcomes: What was measured.
        values: Arm → outcome → `[S, I]`, with one row for an arm without a policy.
        instances: Numbers of the instances, I.
        seeds: Policy seeds, S.
        common: What each instance has in common with others, I; none for no groups.
    """
    bootstrap = Bootstrap.draw(len(instances), len(seeds))
    estimates = _estimates(values, bootstrap)
    first = outcomes[0]
    sign = 1.0 if first.higher_is_better else -1.0
    order = sorted(estimates, key=lambda name: -sign * estimates[name][first.name].value)
    rules = [name for name in order if any(arm.name == name and arm.rule is not None for arm in arms)]
    primary = gap = None
    if rules:
        gap = bootstrap.estimate(oracle_gap, *(sign * values[name][first.name] for name in rules))
    if rules and POLICY in estimates:
        pair = (values[POLICY][first.name], values[rules[0]][first.name])
        primary = Contrast(
            rules[0],
            bootstrap.estimate(iqm_difference, *pair),
            bootstrap.estimate(mean_difference, *pair),
            first.higher_is_better,
        )
    return Comparison(
        outcomes=outcomes,
        arms={name: estimates[name] for name in order},
        instances=instances,
        seeds=seeds,
        best_rule=rules[0] if rules else None,
        primary=primary,
        oracle_gap=gap,
        groups={
            name: _group({arm: values[arm] for arm in order}, name, common, len(seeds)) for name in sorted({*common})
        },
    )


def _group(values: Mapping[str, Mapping[str, Values]], name: str, common: Sequence[str], seeds: int) -> Group:
    members = [i for i, other in enumerate(common) if other == name]
    within = {arm: {o: array[:, members] for o, array in found.items()} for arm, found in values.items()}
    return Group(len(members), _estimates(within, Bootstrap.draw(len(members), seeds)))


def _estimates(values: Mapping[str, Mapping[str, Values]], bootstrap: Bootstrap) -> dict[str, dict[str, Estimate]]:
    return {
        arm: {outcome: bootstrap.estimate(pooled_iqm, array) for outcome, array in found.items()}
        for arm, found in values.items()
    }


def _document(arms: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    return {
        arm: {
            name: {"iqm": estimate.value, "low": estimate.low, "high": estimate.high}
            for name, estimate in estimates.items()
        }
        for arm, estimates in arms.items()
    }
