"""The suite of networks: those that are right pass, and every check is failed by a canary."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from esper_core.policy.distribution import FactoredDistribution
from esper_core.registry.index import Index
from esper_testing.conformance.network import SUITE
from plugins.testing.tests.conformance.looking import assert_only_fails, results

CANARIES = {
    "slots-hard-coded": ("shapes",),
    "blocks-hard-coded": ("shapes",),
    "input-dim-off": ("input-dim",),
    "names-clash": ("any-actions",),
    "op-constant": ("op-logits", "gradient"),
    "head-missing": ("shapes",),
    "batch-first": ("state",),
    "bare-state": ("state",),
    "state-not-zero": ("state",),
    "noisy": ("deterministic",),
    "state-on-module": ("deterministic",),
    "unseeded": ("seeded",),
    "in-place": ("inputs-untouched",),
    "overflowing": ("finite-logits",),
    "batch-normalised": ("batch-of-one", "rows-independent", "reset"),
    "hidden-shared": ("rows-independent", "batch-of-one"),
    "forgetful": ("memory",),
    "clairvoyant": ("memory", "reset"),
    "reset-ignored": ("reset",),
    "acts-otherwise": ("act-equals-evaluate",),
    "dead-parameter": ("gradient",),
    "plain-tensor": ("state-dict",),
    "float-only": ("float64",),
    "mixed-precision": ("bf16",),
    "cpu-only": ("device",),
}
"""Canary → the check that is there for it, then others that notice too."""

FROM_MUTATION = {"masked-never-sampled"}


@pytest.mark.parametrize("name", ["lstm-v1", pytest.param("lstm-v2", marks=pytest.mark.slow)])
def test_what_is_installed_passes(installed: Index, name: str) -> None:
    rows = results(installed, f"network/{name}")
    assert {row.status for row in rows.values()} == {"passed"}, rows
    assert set(SUITE.declared) <= set(rows)


@pytest.mark.parametrize(("canary", "checks"), CANARIES.items())
def test_canaries(canaries: Index, canary: str, checks: tuple[str, ...]) -> None:
    assert_only_fails(canaries, f"network/{canary}", *checks)


def test_a_mask_ignored_once_in_a_thousand_draws(canaries: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks never see masks; whoever draws is core's distribution, whose wire is cut here."""
    mask_of = FactoredDistribution._mask

    def careless(self: FactoredDistribution, name: str) -> Tensor:
        mask = mask_of(self, name)
        rows = torch.arange(len(mask), device=mask.device) % 1000 == 999
        return mask | rows.reshape(-1, *[1] * (mask.dim() - 1))

    monkeypatch.setattr(FactoredDistribution, "_mask", careless)
    row = assert_only_fails(canaries, "network/memoryless", "masked-never-sampled")
    assert "took an illegal action in" in row.message


def test_every_check_has_a_canary() -> None:
    failed = {checks[0] for checks in CANARIES.values()} | FROM_MUTATION
    assert failed == set(SUITE.declared) == {check.name for check in SUITE.checks}


@pytest.mark.parametrize("name", ["memoryless", "slots-only"])
def test_other_ways_are_right_too(canaries: Index, name: str) -> None:
    rows = results(canaries, f"network/{name}")
    assert {row.status for row in rows.values()} == {"passed"}, rows
    assert ("op-logits" in rows) == (name == "memoryless"), "a claim is checked where it is made"


def test_torch_at_import(canaries: Index) -> None:
    row = assert_only_fails(canaries, "network/torch-at-import", "registration")
    assert "it imports torch" in row.message


def test_a_failure_is_placed_where_the_plugin_raised(canaries: Index) -> None:
    row = assert_only_fails(canaries, "network/cpu-only", "device")
    source = Path(row.file)
    assert source.parts[-2:] == ("sick", "network.py")
    assert "features.obs + offset" in source.read_text().splitlines()[row.line - 1]
    row = assert_only_fails(canaries, "network/slots-hard-coded", "shapes")
    assert row.message == "N=1: the row of logits for 'slot' is (8, 6, 3), not (8, 6, 1)"
