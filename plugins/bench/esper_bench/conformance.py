"""What every workload must do."""

from __future__ import annotations

import json
import math
from typing import Any

from attrs import fields

from esper_bench.machine import measure_ceilings
from esper_bench.report import judge
from esper_bench.workload import Target
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite

SUITE = Suite("workload", ("choices", "targets", "figures"))

SMALL: dict[str, Any] = {"envs": 1, "epochs": 2, "updates": 1, "device": "cpu"}
"""What is measured here is whether it measures, so there is little of it: of epochs too, where a workload says some."""


def _plan(subject: Subject, **over: Any) -> Plan:
    return make_plan(PlanRequest(**{**subject.build().choices, **over}), subject.index)


@SUITE.check("choices")
def choices(subject: Subject) -> None:
    """What it trains is said in fields of a PlanRequest, and a plan can be made of it."""
    chosen = subject.build().choices
    known = {entry.name for entry in fields(PlanRequest)}
    strange = sorted(set(chosen) - known)
    assert not strange, f"a PlanRequest has no {', '.join(strange)}; it has {', '.join(sorted(known))}"
    _plan(subject)


@SUITE.check("targets")
def targets(subject: Subject) -> None:
    """Its targets are bounds on figures, each figure once, with a line on what it means."""
    found = subject.build().targets
    for target in found:
        assert isinstance(target, Target), f"{target!r} is not a Target"
        assert math.isfinite(target.bound), f"the target of '{target.figure}' is {target.bound}"
        assert target.meaning.strip(), f"the target of '{target.figure}' does not say what it means"
    names = [target.figure for target in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"more than one target for {', '.join(twice)}"


@SUITE.check("figures", after=("choices", "targets"))
def figures(subject: Subject) -> None:
    """A quick measurement of little work gives every figure that has a target, and evidence for each; all as JSON."""
    workload = subject.build()
    plan = _plan(
        subject, **{name: size for name, size in SMALL.items() if name != "epochs" or name in workload.choices}
    )
    said: list[str] = []
    measured = workload.measure(plan, subject.index, quick=True, say=said.append)
    for name, row in judge(measured, workload.targets).items():
        value = row["measured"]
        assert isinstance(value, int | float) and math.isfinite(value), f"the figure '{name}' is {value!r}"
    assert said, "it never says what it is doing"
    _assert_json("its figures", measured)
    ceilings = measure_ceilings()
    for target in workload.targets:
        evidence = workload.evidence(plan, subject.index, target.figure, measured, ceilings)
        assert evidence, f"it has no evidence for '{target.figure}'"
        _assert_json(f"its evidence for '{target.figure}'", evidence)


def _assert_json(what: str, values: Any) -> None:
    try:
        json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{what} cannot be written as JSON: {error}") from error
