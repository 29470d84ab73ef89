"""What is right passes every check of its kind; what is wrong in one way fails the check that is there for it."""

from __future__ import annotations

import pytest

from esper_bench import conformance as workload
from esper_bench import plugin as bench
from esper_core import ComponentSpec
from esper_core.builtin import plugin as core
from esper_core.registry.loading import index_from_plugins
from esper_evaluation import plugin as evaluation
from esper_evaluation.conformance import rule
from esper_testing import plugin as testing
from esper_testing.conformance import environment, masks, spike
from esper_testing.conformance.report import Result
from esper_testing.conformance.run import check_component
from esper_testing.conformance.suite import Suite
from esper_testing.reference.plugin import with_references
from plugins.testing.tests.conformance.fixtures import world_canaries
from plugins.testing.tests.conformance.fixtures.world_canaries import CANARIES

SUITES = {module.SUITE.kind: module.SUITE for module in (environment, masks, rule, spike, workload)}
KINDS = {"esper-core": core, "bench": bench, "evaluation": evaluation, "testing": testing}
RIGHT = [spec for spec in world_canaries.right() if spec.kind in SUITES]


def check(spec: ComponentSpec) -> dict[str, Result]:
    """Return what came of the checks of its kind, by name."""
    index = index_from_plugins({**KINDS, "canaries": world_canaries})
    assert not index.failures, index.failures
    (component,) = [c for c in index.components if c.spec is spec or c.spec == spec]
    declared = SUITES[spec.kind].declared
    return {result.name: result for result in check_component(component, index) if result.name in declared}


def dependents(suite: Suite, name: str) -> set[str]:
    """Return the checks that say nothing once this one has failed."""
    found = {check.name for check in suite.checks if name in check.after}
    return found.union(*(dependents(suite, other) for other in found))


@pytest.mark.parametrize("spec", RIGHT, ids=lambda spec: f"{spec.kind}-{spec.name}")
def test_what_is_right_passes_everything(spec: ComponentSpec) -> None:
    results = check(spec)
    assert set(results) == set(SUITES[spec.kind].declared)
    assert {name: result.message for name, result in results.items() if result.status != "passed"} == {}


@pytest.mark.parametrize("key", ["environment/lamps", "masks/lamps"])
def test_the_reference_world_passes_everything(key: str) -> None:
    index = index_from_plugins(KINDS)
    (component,) = [c for c in with_references(index).components if c.key == key]
    results = [r for r in check_component(component, index) if r.name in SUITES[component.kind].declared]
    assert {result.name: result.message for result in results if result.status != "passed"} == {}


@pytest.mark.parametrize(("spec", "name", "says"), CANARIES, ids=[f"{c[0].kind}-{c[0].name}" for c in CANARIES])
def test_what_is_wrong_fails_the_check_for_it(spec: ComponentSpec, name: str, says: str) -> None:
    results = check(spec)
    assert results[name].status == "failed", {n: (r.status, r.message) for n, r in results.items()}
    assert says in results[name].message
    assert {other: results[other].status for other in dependents(SUITES[spec.kind], name)} == dict.fromkeys(
        dependents(SUITES[spec.kind], name), "blocked"
    )


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_every_check_is_failed_by_something(suite: Suite) -> None:
    assert set(suite.declared) == {name for spec, name, _ in CANARIES if spec.kind == suite.kind}
    assert {check.name for check in suite.checks} == set(suite.declared), "a check got lost"
    assert all(check.summary.endswith(".") for check in suite.checks), "a check without a rule for the docs"
