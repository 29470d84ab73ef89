"""The suites of what learns: what is installed passes, and so does what is right in another way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esper_core.policy.distribution import FactoredDistribution
from esper_core.registry.index import Component, Index
from esper_testing.conformance import critic, features, loss, network
from esper_testing.conformance.report import Result
from esper_testing.conformance.run import Checker, check_component

SUITES = {module.SUITE.kind: module.SUITE for module in (critic, features, loss, network)}

INSTALLED = {
    "network/lstm-v1": (),
    "network/lstm-v2": (),
    "critic/op-conditioned-critic": (),
    "critic/state-value": ("q-by-op",),
    "loss/factored-ppo": (),
    "features/flat": (),
    "features/obs-v3": (),
}
"""Component → checks that do not concern it."""


def find(index: Index, key: str) -> Component:
    (component,) = [component for component in index.components if component.key == key]
    return component


def results(index: Index, key: str) -> dict[str, Result]:
    return {row.name: row for row in check_component(find(index, key), index)}


@pytest.mark.parametrize(
    "key", [pytest.param(key, marks=[pytest.mark.slow] * (key == "network/lstm-v2")) for key in INSTALLED]
)
def test_what_is_installed_passes(installed: Index, key: str) -> None:
    rows = results(installed, key)
    assert {row.status for row in rows.values()} == {"passed"}, rows
    assert set(SUITES[key.partition("/")[0]].declared) - set(rows) == set(INSTALLED[key])


@pytest.mark.parametrize(
    "key", ["network/memoryless", "network/slots-only", "critic/table", "loss/huber", "features/counting"]
)
def test_other_ways_are_right_too(canaries: Index, key: str) -> None:
    rows = results(canaries, key)
    assert {row.status for row in rows.values()} == {"passed"}, rows
    if key.startswith("network"):
        assert ("op-logits" in rows) == (key == "network/memoryless"), "a claim is checked where it is made"


def test_torch_at_import(canaries: Index) -> None:
    row = Checker.of(find(canaries, "network/torch-at-import"), canaries).result("registration")
    assert row.status == "failed" and "it imports torch" in row.message


def test_a_mask_ignored_once_in_a_thousand_draws(canaries: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks never see masks; whoever draws is core's distribution, whose wire is cut here."""
    mask_of = FactoredDistribution._mask

    def careless(self: FactoredDistribution, name: str) -> Tensor:
        mask = mask_of(self, name)
        rows = torch.arange(len(mask), device=mask.device) % 1000 == 999
        return mask | rows.reshape(-1, *[1] * (mask.dim() - 1))

    monkeypatch.setattr(FactoredDistribution, "_mask", careless)
    row = Checker.of(find(canaries, "network/memoryless"), canaries).result("masked-never-sampled")
    assert row.status == "failed" and "took an illegal action in" in row.message
