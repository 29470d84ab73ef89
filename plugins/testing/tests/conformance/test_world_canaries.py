"""What is right passes every check of its kind; what is wrong in one way fails the check that is there for it."""

from __future__ import annotations

import pytest

from esper_bench import conformance as workload
from esper_bench import plugin as bench
from esper_core import ComponentSpec
from esper_core.builtin import plugin as core
from esper_core.registry.index import Component, Index
from esper_evaluation import plugin as evaluation
from esper_evaluation.conformance import rule
from esper_testing import plugin as testing
from esper_testing.conformance import environment, masks, spike
from esper_testing.conformance.run import Checker, check_component
from esper_testing.conformance.suite import Suite
from esper_testing.index import index_from_plugins
from esper_testing.reference.plugin import with_references
from plugins.testing.tests.conformance.fixtures import world_canaries
from plugins.testing.tests.conformance.fixtures.world_canaries import CANARIES

SUITES = {module.SUITE.kind: module.SUITE for module in (environment, masks, rule, spike, workload)}
KINDS = {"esper-core": core, "bench": bench, "evaluation": evaluation, "testing": testing}
RIGHT = [spec for spec in world_canaries.right() if spec.kind in SUITES]


def find(spec: ComponentSpec) -> tuple[Index, Component]:
    """Return a canary as it is installed, and what is installed."""
    index = index_from_plugins({**KINDS, "canaries": world_canaries})
    assert not index.failures, index.failures
    (component,) = [c for c in index.components if c.spec is spec or c.spec == spec]
    return index, component


@pytest.mark.parametrize("spec", RIGHT, ids=lambda spec: f"{spec.kind}-{spec.name}")
def test_what_is_right_passes_everything(spec: ComponentSpec) -> None:
    index, component = find(spec)
    checker = Checker.of(component, index)
    assert {name: checker.result(name).message for name in SUITES[spec.kind].declared if name in checker.names} == (
        dict.fromkeys(SUITES[spec.kind].declared, "")
    )


@pytest.mark.parametrize("key", ["environment/lamps", "masks/lamps"])
def test_the_reference_world_passes_everything(key: str) -> None:
    index = index_from_plugins(KINDS)
    (component,) = [c for c in with_references(index).components if c.key == key]
    results = [r for r in check_component(component, index) if r.name in SUITES[component.kind].declared]
    assert {result.name: result.message for result in results if result.status != "passed"} == {}


@pytest.mark.parametrize(("spec", "name", "says"), CANARIES, ids=[f"{c[0].kind}-{c[0].name}" for c in CANARIES])
def test_what_is_wrong_fails_the_check_for_it(spec: ComponentSpec, name: str, says: str) -> None:
    index, component = find(spec)
    result = Checker.of(component, index).result(name)
    assert result.status == "failed" and says in result.message, result


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_every_check_is_failed_by_something(suite: Suite) -> None:
    assert set(suite.declared) == {name for spec, name, _ in CANARIES if spec.kind == suite.kind}
    assert {check.name for check in suite.checks} == set(suite.declared), "a check got lost"
    assert all(check.summary.endswith(".") for check in suite.checks), "a check without a rule for the docs"
