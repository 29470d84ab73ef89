"""Comparisons: order, the declared contrast, the JSON document, and the picture."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import asdict, evolve

from esper_core import ComponentSpec
from esper_core.contracts.state import Outcome
from esper_core.registry.index import Component
from esper_evaluation.arms import OWN, Arm
from esper_evaluation.comparison import Comparison, compare
from esper_evaluation.figure import draw
from esper_evaluation.statistics import iqm
from esper_evaluation.stratified import paired_mean

ACCURACY = Outcome("test_accuracy", "fraction", "accuracy", higher_is_better=True)
PARAMETERS = Outcome("added_parameters", "parameters", "size", higher_is_better=False)
OUTCOMES = (ACCURACY, PARAMETERS)
POLICY, GREEDY, *_ = OWN
INSTANCES, SEEDS = list(range(100, 112)), [0, 1, 2]


def rule(name: str) -> Arm:
    return Arm(name, name, rule=Component(ComponentSpec(kind="rule", name=name, factory="a:b"), "acme", "acme", "1"))


def values(arm: Arm, mean: float, size: float = 100.0, noise: float = 0.02) -> dict[str, Any]:
    generator = np.random.default_rng(len(arm.name))
    shape = (len(SEEDS) if arm.learned else 1, len(INSTANCES))
    return {"test_accuracy": mean + noise * generator.normal(size=shape), "added_parameters": np.full(shape, size)}


STATIC, ALL_ON, PERIODIC = rule("static"), rule("all-on"), rule("periodic")
ARMS = {arm.name: arm for arm in (STATIC, ALL_ON, PERIODIC, *OWN)}


def compared(achieved: dict[str, dict[str, Any]], outcomes: Any = OUTCOMES, **told: Any) -> Comparison:
    return compare([ARMS[name] for name in achieved], outcomes, achieved, INSTANCES, SEEDS, **told)


def typical(policy: float = 0.9) -> dict[str, dict[str, Any]]:
    return {
        "static": values(STATIC, 0.4, 0.0),
        "policy": values(POLICY, policy, 80),
        "all-on": values(ALL_ON, 0.8, 300),
        "policy-greedy": values(GREEDY, 0.95, 90),
    }


def test_the_best_arm_comes_first_and_the_best_rule_is_known() -> None:
    found = compared(typical())
    assert list(found.arms) == ["policy-greedy", "policy", "all-on", "static"]
    assert found.best_rule == "all-on"
    assert found.arms["static"]["test_accuracy"].value == iqm(values(STATIC, 0.4)["test_accuracy"].ravel())


@pytest.mark.parametrize(("policy", "verdict"), [(0.9, "better"), (0.7, "worse"), (0.8, "no difference shown")])
def test_the_contrast_is_the_policy_minus_the_best_rule(policy: float, verdict: str) -> None:
    achieved = typical(policy)
    if policy == 0.8:
        achieved["policy"] = {name: np.repeat(value, 3, 0) for name, value in achieved["all-on"].items()}
    found = compared(achieved)
    assert found.primary is not None and found.primary.name == "policy - all-on"
    assert found.primary.verdict == verdict
    delta = found.primary.delta
    policys, rules = (found.arms[arm]["test_accuracy"].value for arm in ("policy", "all-on"))
    assert delta.value == pytest.approx(policys - rules)
    assert delta.low <= delta.value <= delta.high
    if policy == 0.8:
        assert found.mean is not None and (delta.value, delta.low) == (0.0, 0.0)
        assert (found.mean.delta.value, found.mean.delta.low) == (0.0, 0.0)


def test_within_groups_the_same_arms_are_compared_on_fewer_instances() -> None:
    achieved = typical()
    hosts = ["weak", "strong", "weak"] * 4
    tags = [{"host": host, "task": "lamps"} for host in hosts]
    found = compared(achieved, tags=tags, by="host")
    assert {name: group.instances for name, group in found.groups.items()} == {"strong": 4, "weak": 8}
    for name, group in found.groups.items():
        members = [i for i, host in enumerate(hosts) if host == name]
        assert list(group.arms) == list(found.arms)
        for arm, estimates in group.arms.items():
            within = {outcome: array[:, members] for outcome, array in achieved[arm].items()}
            alone = compare([ARMS[arm]], OUTCOMES, {arm: within}, members, SEEDS).arms[arm]
            assert estimates == alone
    assert found.to_json()["groups"]["weak"]["arms"]["static"] == {
        name: {"iqm": e.value, "low": e.low, "high": e.high} for name, e in found.groups["weak"].arms["static"].items()
    }
    assert compared(typical()).groups == {}


def test_the_best_rule_by_its_mean_may_be_another() -> None:
    achieved = {name: found for name, found in typical().items() if name != "policy-greedy"}
    achieved["periodic"] = {name: value.copy() for name, value in achieved["all-on"].items()}
    achieved["periodic"]["test_accuracy"][0, :2] = 9.0
    achieved["periodic"]["test_accuracy"][0, 2:] -= 0.1
    found = compared(achieved)
    assert found.primary is not None and found.primary.rule == "all-on"
    assert found.mean is not None and found.mean.rule == "periodic" and found.mean.delta.value < 0
    assert found.to_json()["secondary"]["mean_difference"]["contrast"] == "policy - periodic"


def test_where_paired_means_decide_the_policy_is_compared_with_every_other_arm_too() -> None:
    achieved = typical()
    training = {"static": {"test_accuracy": 0.5}, "all-on": {"test_accuracy": 0.4}}
    found = compared(achieved, declared="paired-mean", training=training)
    assert found.best_rule == "static" and set(found.against) == {"all-on", "policy-greedy"}
    for name, apart in found.against.items():
        differences = achieved["policy"]["test_accuracy"] - achieved[name]["test_accuracy"]
        assert apart == paired_mean(differences, ["one kind"] * len(INSTANCES)).estimate
    assert found.to_json()["secondary"]["against"]["all-on"] == asdict(found.against["all-on"])
    assert compared(achieved).against == {}


def test_matches_are_counted_by_their_mean_and_both_sides_of_a_seed_are_drawn_together() -> None:
    """Whoever wins from one side and loses from the other is worth exactly a half, whichever seeds are drawn."""
    won = Outcome("won", "fraction", "won", higher_is_better=True, by_mean=True)
    turns = (np.arange(len(INSTANCES)) % 2)[None] * 1.0
    achieved = {"policy": {"won": turns.repeat(3, 0)}, "static": {"won": turns * 0.0}}
    single, paired = compared(achieved, (won,)), compared(achieved, (won,), together=2)
    assert asdict(paired.arms["policy"]["won"]) == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert single.arms["policy"]["won"].low < 0.4 and single.arms["policy"]["won"].value == 0.5
    assert paired.to_json()["arms"]["policy"]["won"] == {"mean": 0.5, "low": 0.5, "high": 0.5}


def test_of_a_cost_less_is_better() -> None:
    outcomes = (evolve(ACCURACY, higher_is_better=False), PARAMETERS)
    found = compared(typical(0.3), outcomes)
    assert list(found.arms) == ["policy", "static", "all-on", "policy-greedy"]
    assert found.primary is not None and found.primary.name == "policy - static"
    assert found.primary.verdict == "better" and found.primary.delta.high < 0


def test_rules_that_are_good_in_turns_leave_a_gap() -> None:
    achieved = typical()
    turns = np.arange(len(INSTANCES)) % 2
    achieved["static"] = achieved["static"] | {"test_accuracy": turns[None] * 1.0}
    achieved["all-on"] = achieved["all-on"] | {"test_accuracy": 1.0 - turns[None]}
    tags = [{"host": f"host {turn}", "task": f"task {i % 4}"} for i, turn in enumerate(turns)]
    for by, words in ((None, ["host", "task"]), ("host", ["host"])):
        found = compared(achieved, tags=tags, by=by)
        gap = found.oracle_gap
        assert gap is not None and gap.value >= 0.5 and gap.low > 0.1
        assert found.to_json()["secondary"]["oracle_gap"] == {"by": words, **asdict(gap)}
    calm = compared(typical(), tags=tags).oracle_gap
    assert calm is not None and (calm.value, calm.low, calm.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("without", [("policy",), ("static", "all-on")])
def test_without_policy_or_without_rules_there_is_no_contrast(without: tuple[str, ...]) -> None:
    found = compared({arm: known for arm, known in typical().items() if arm not in without})
    assert found.primary is None and found.to_json()["primary"] is None and found.mean is None
    assert (found.best_rule is None) == ("static" in without)
    assert found.oracle_gap is None, "nothing is known of the instances"


@pytest.mark.parametrize("outcomes", [OUTCOMES, OUTCOMES[:1]], ids=["two", "one"])
def test_the_picture_has_every_arm_and_no_label_over_another(tmp_path: Path, outcomes: Any, monkeypatch: Any) -> None:
    from matplotlib.axes import Axes

    drawn: list[Any] = []
    annotate = Axes.annotate
    monkeypatch.setattr(Axes, "annotate", lambda *a, **s: drawn.append(annotate(*a, **s)) or drawn[-1])
    achieved = typical(0.95)
    achieved["periodic"] = values(STATIC, 0.401, 0.0)
    path = tmp_path / "comparison.png"
    draw(compared(achieved, outcomes), ["policy", "policy-greedy"], path)
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
    assert sorted(label.get_text() for label in drawn) == sorted(achieved)
    assert not any(a.overlaps(b) for a, b in combinations((label.get_window_extent() for label in drawn), 2))
    axes = drawn[0].axes
    assert axes.get_ylabel() == "test accuracy, fraction, IQM (higher is better)"
    assert len(axes.containers) == len(achieved) and all(c.has_yerr for c in axes.containers)
