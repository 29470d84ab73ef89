"""Choosing arms."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from esper_core import ComponentSpec
from esper_core.composition.plan import PlanDescription, describe_plan, make_plan
from esper_core.contracts.errors import AmbiguousComponent, IncompatiblePlan, UserError
from esper_core.registry.index import Component, Index
from esper_evaluation.arms import OWN, Arm, choose_arms, with_needed
from plugins.evaluation.tests.conftest import request


def known_of(index: Index, layout: str = "slotted") -> tuple[PlanDescription, Component]:
    plan = make_plan(request(options=(f"environment.layout={layout}",)), index)
    return describe_plan(plan, index), next(c for c in index.components if c.name == "lamps")


def chosen(index: Index, names: Any = None, **said: Any) -> list[str]:
    return [arm.name for arm in choose_arms(names, index, *known_of(index, **said))]


def with_rules(index: Index, *rules: tuple[str, str, tuple[str, ...]]) -> Index:
    more = tuple(
        Component(ComponentSpec(kind="rule", name=name, factory="a:b", reads=reads), owner, owner, "1")
        for owner, name, reads in rules
    )
    return evolve(index, components=(*index.components, *more))


def test_all_that_apply_are_the_rules_that_can_see_and_our_own(index: Index) -> None:
    assert chosen(index) == ["random", "static", *(arm.name for arm in OWN)]
    assert "random-matched" not in chosen(index, layout="flat")


def test_a_rule_becomes_an_arm_by_being_installed(index: Index) -> None:
    more = with_rules(index, ("acme", "by-the-clock", ("clock",)), ("acme", "blind", ("eyes",)))
    assert "by-the-clock" in chosen(more) and "blind" not in chosen(more)
    assert chosen(more, ["by_the_clock", " static"]) == ["by-the-clock", "static"]
    with pytest.raises(IncompatiblePlan, match="reads the state field 'eyes'"):
        chosen(more, ["blind"])


def test_arms_of_one_name_must_be_told_apart(index: Index) -> None:
    more = with_rules(index, ("acme", "policy", ()))
    assert [arm.rule is None for arm in choose_arms(["policy", "acme:policy"], more, *known_of(more))] == [True, False]
    more = with_rules(index, ("acme", "static", ()))
    with pytest.raises(AmbiguousComponent, match="esper-evaluation"):
        chosen(more)
    pins = {"rule/static": "acme"}
    arms = {arm.name: arm for arm in choose_arms(None, more, *known_of(more), pins)}
    assert arms["static"].rule is not None and arms["static"].rule.distribution == "acme"


@pytest.mark.parametrize(("name", "meant"), [("bestfixed", "best-fixed"), ("Statik", "static")])
def test_an_unknown_arm_is_told_what_was_meant(index: Index, name: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"no arm '{name}'.* Did you mean '{meant}'") as raised:
        chosen(index, ["random", name])
    assert "policy-greedy" in raised.value.hint and raised.value.exit_code == 2


def test_arms_come_after_those_they_are_made_of() -> None:
    own = {arm.name: arm for arm in OWN}
    rule = Arm("static", "", rule=None)
    assert [a.name for a in with_needed([own["replay"], rule])] == ["policy-greedy", "static", "replay"]
    assert [a.name for a in with_needed([own["random-matched"], own["policy"]])] == ["policy", "random-matched"]
