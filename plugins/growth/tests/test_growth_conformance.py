"""What growth brings passes its checks; what is wrong in one way fails the check that is there for it."""

from __future__ import annotations

import pytest

from esper_core import ComponentSpec
from esper_core.builtin import plugin as core
from esper_core.registry.index import Component, Index
from esper_core.registry.loading import load_index
from esper_growth import plugin as growth
from esper_growth.conformance import blueprint, host, task
from esper_testing.conformance.run import check_component
from esper_testing.conformance.suite import Suite
from esper_testing.index import index_from_plugins
from plugins.growth.tests.fixtures import growth_canaries
from plugins.growth.tests.fixtures.growth_canaries import CANARIES

SUITES = {module.SUITE.kind: module.SUITE for module in (task, host, blueprint)}
OURS = [component for component in load_index().components if component.plugin == "growth"]
QUICK = ("task/", "blueprint/", "host/narrow", "host/transformer", "host/conv")
"""Those whose checks take seconds. Others play whole episodes, or are another size of the same host."""


@pytest.fixture(scope="module")
def index() -> Index:
    return index_from_plugins({"esper-core": core, "growth": growth, "canaries": growth_canaries})


@pytest.mark.parametrize(
    "component", [pytest.param(c, id=c.key, marks=[] if c.key.startswith(QUICK) else pytest.mark.slow) for c in OURS]
)
def test_what_growth_brings_passes_everything(component: Component) -> None:
    results = check_component(component, load_index())
    assert {result.name: result.message for result in results if result.status != "passed"} == {}


@pytest.mark.parametrize(("spec", "name", "says"), CANARIES, ids=[c[0].name for c in CANARIES])
def test_what_is_wrong_fails_the_check_for_it(index: Index, spec: ComponentSpec, name: str, says: str) -> None:
    (component,) = [c for c in index.components if (c.kind, c.name) == (spec.kind, spec.name)]
    results = {result.name: result for result in check_component(component, index)}
    assert results[name].status == "failed", {n: (r.status, r.message) for n, r in results.items()}
    assert says in results[name].message


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_every_check_is_failed_by_something(suite: Suite) -> None:
    assert set(suite.declared) == {name for spec, name, _ in CANARIES if spec.kind == suite.kind}
    assert {check.name for check in suite.checks} == set(suite.declared), "a check got lost"
