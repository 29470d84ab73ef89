"""What is right passes every check of its kind; what is wrong in one way fails the check that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from esper_bench import conformance as workload
from esper_bench import plugin as bench
from esper_core import ComponentSpec
from esper_core.builtin import plugin as core
from esper_core.policy.distribution import FactoredDistribution
from esper_core.registry.index import Component, Index
from esper_evaluation import plugin as evaluation
from esper_evaluation.conformance import rule
from esper_testing import plugin as testing
from esper_testing.conformance import critic, environment, features, loss, masks, network, observer, spike
from esper_testing.conformance.run import Checker, check_component
from esper_testing.conformance.suite import Suite
from esper_testing.index import index_from_plugins
from esper_testing.reference.plugin import with_references
from plugins.testing.tests.conformance.fixtures import canary, learned_canaries, world_canaries
from plugins.testing.tests.conformance.fixtures.canary import CANARIES
from plugins.testing.tests.conformance.fixtures.right import right

WORLD = {module.SUITE.kind: module.SUITE for module in (environment, masks, rule, observer, spike, workload)}
LEARNED = {module.SUITE.kind: module.SUITE for module in (critic, features, loss, network)}
SUITES = {**WORLD, **LEARNED}
KINDS = {"esper-core": core, "bench": bench, "evaluation": evaluation, "testing": testing}
FROM_MUTATION = "masked-never-sampled"
"""A check of networks that is failed by a distribution which ignores masks."""


@pytest.fixture(scope="module")
def index() -> Index:
    index = index_from_plugins({**KINDS, "canaries": canary})
    assert not index.failures and learned_canaries.network and world_canaries.environment
    return index


def find(index: Index, spec: ComponentSpec) -> Component:
    (component,) = [c for c in index.components if c.spec == spec]
    return component


@pytest.mark.parametrize("spec", list(right()), ids=lambda spec: f"{spec.kind}-{spec.name}")
def test_what_is_right_passes_everything(index: Index, spec: ComponentSpec) -> None:
    rows = {row.name: row for row in check_component(find(index, spec), index)}
    wrong = {row.name for row in rows.values() if row.status != "passed"}
    assert wrong == {"registration", "light-config"}, "it has no entry point, and in nothing else is it different"
    for check in SUITES[spec.kind].checks:
        assert (check.name in rows) == (check.claim is None or check.claim in spec.provides)


@pytest.mark.parametrize(
    "key",
    [
        "environment/lamps",
        "environment/match",
        "environment/duel",
        "masks/lamps",
        "masks/match",
        "masks/duel",
        "features/reference",
    ],
)
def test_the_reference_world_passes_everything(index: Index, key: str) -> None:
    (component,) = [c for c in with_references(index).components if c.key == key]
    wrong = {result.name for result in check_component(component, index) if result.status != "passed"}
    assert wrong == {"registration", "light-config"}


@pytest.mark.parametrize("key", ["features/flat", pytest.param("network/lstm-v2", marks=pytest.mark.slow)])
def test_what_no_plugin_checks_itself(conforms: Callable[[str], None], key: str) -> None:
    conforms(key)


def test_a_mask_ignored_once_in_a_thousand_draws(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks never see masks; whoever draws is core's distribution, whose wire is cut here."""
    mask_of = FactoredDistribution._mask

    def careless(self: FactoredDistribution, name: str) -> Tensor:
        mask = mask_of(self, name)
        rows = torch.arange(len(mask), device=mask.device) % 1000 == 999
        return mask | rows.reshape(-1, *[1] * (mask.dim() - 1))

    monkeypatch.setattr(FactoredDistribution, "_mask", careless)
    (network,) = [c for c in index.components if c.key == "network/memoryless"]
    row = Checker.of(network, index).result("masked-never-sampled")
    assert row.status == "failed" and "took an illegal action in" in row.message


@pytest.mark.parametrize(("spec", "checks", "says"), CANARIES, ids=[f"{c[0].kind}-{c[0].name}" for c in CANARIES])
def test_what_is_wrong_fails_the_check_for_it(index: Index, spec: ComponentSpec, checks: str, says: str) -> None:
    result = Checker.of(find(index, spec), index).result(checks.split()[0])
    assert result.status == "failed" and says in result.message, result
    if spec.name == "cpu-only":
        source = Path(result.file)
        assert source == Path(learned_canaries.__file__)
        assert "obs + offset" in source.read_text().splitlines()[result.line - 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "checks"),
    [pytest.param(spec, checks, id=f"{spec.kind}-{spec.name}") for spec, checks, _ in CANARIES if spec.kind in LEARNED],
)
def test_what_is_wrong_fails_nothing_else(index: Index, spec: ComponentSpec, checks: str) -> None:
    """What depends on a failure is blocked."""
    suite = LEARNED[spec.kind]
    rows = {row.name: row.status for row in check_component(find(index, spec), index) if row.name in suite.declared}
    assert {name for name, status in rows.items() if status == "failed"} == set(checks.split())
    blocked = {checks.split()[0]}
    for _ in suite.checks:
        blocked |= {check.name for check in suite.checks if blocked & set(check.after)}
    assert {rows[name] for name in (blocked & rows.keys()) - set(checks.split())} <= {"blocked"}


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_every_check_is_failed_by_something(suite: Suite) -> None:
    failed = {checks.split()[0] for spec, checks, _ in CANARIES if spec.kind == suite.kind}
    assert set(suite.declared) == failed | ({FROM_MUTATION} if suite.kind == "network" else set())
    assert {check.name for check in suite.checks} == set(suite.declared), "a check got lost"
    assert all(check.summary.endswith(".") for check in suite.checks), "a check without a rule for the docs"
