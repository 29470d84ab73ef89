"""The suites of what learns: what is right passes, and every check is failed by a canary."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from esper_core.policy.distribution import FactoredDistribution
from esper_core.registry.index import Index
from esper_testing.conformance import critic, features, loss, network
from esper_testing.conformance.suite import Suite
from plugins.testing.tests.conformance.looking import assert_only_fails, result, results

SUITES = {module.SUITE.kind: module.SUITE for module in (critic, features, loss, network)}

CANARIES = {
    "network/slots-hard-coded": "shapes",
    "network/blocks-hard-coded": "shapes",
    "network/input-dim-off": "input-dim",
    "network/names-clash": "any-actions",
    "network/op-constant": "op-logits gradient",
    "network/head-missing": "shapes",
    "network/batch-first": "state",
    "network/bare-state": "state",
    "network/state-not-zero": "state",
    "network/noisy": "deterministic",
    "network/state-on-module": "deterministic",
    "network/unseeded": "seeded",
    "network/in-place": "inputs-untouched",
    "network/overflowing": "finite-logits",
    "network/batch-normalised": "batch-of-one rows-independent reset",
    "network/hidden-shared": "rows-independent batch-of-one",
    "network/forgetful": "memory",
    "network/clairvoyant": "memory reset",
    "network/reset-ignored": "reset",
    "network/acts-otherwise": "act-equals-evaluate",
    "network/dead-parameter": "gradient",
    "network/plain-tensor": "state-dict",
    "network/float-only": "float64",
    "network/mixed-precision": "bf16",
    "network/cpu-only": "device",
    "critic/trailing-axis": "shapes",
    "critic/refuses-without-hint": "without-operations",
    "critic/drops-out": "deterministic",
    "critic/unseeded-value": "seeded",
    "critic/relu-in-place": "inputs-untouched",
    "critic/centred": "rows-independent",
    "critic/taken-is-baseline": "consistent",
    "critic/baseline-beyond": "consistent",
    "critic/q-unclaimed": "claims",
    "critic/op-blind": "q-by-op",
    "critic/q-only-claimed": "q-by-op",
    "critic/detached": "gradient",
    "critic/dead-value-parameter": "gradient",
    "critic/float-only-value": "float64",
    "critic/no-rescale": "rescale",
    "critic/statistics-outside": "state-dict",
    "critic/mixed-precision-value": "bf16",
    "critic/cpu-only-value": "device",
    "loss/not-scalar": "result",
    "loss/metric-with-history": "result",
    "loss/kl-with-history": "result",
    "loss/target-is-text": "result",
    "loss/adapting": "deterministic",
    "loss/standardises-in-place": "inputs-untouched",
    "loss/one-head-only": "gradient",
    "loss/reads-padding": "padding",
    "loss/standardises-again": "zero-advantage",
    "loss/mask-ignored": "no-choice",
    "loss/estimated-kl": "divergence",
    "loss/wrong-sign": "raises-advantaged",
    "loss/no-regression": "regresses-returns gradient",
    "loss/away-from-returns": "regresses-returns",
    "loss/all-entropy": "learns",
    "loss/float-only-loss": "float64",
    "loss/cpu-only-loss": "device",
    "features/named-twice": "schema",
    "features/three-blocks": "schema",
    "features/source-unknown": "schema",
    "features/dimension-off": "shapes",
    "features/vocabulary-short": "indices",
    "features/nan-when-empty": "finite",
    "features/unclamped": "ranges",
    "features/jittery": "deterministic",
    "features/scales-in-place": "state-untouched",
    "features/batch-centred": "batch-of-one",
    "features/leaking": "sources",
    "features/dead-column": "sources",
    "features/swapped": "sources",
    "features/first-three-slots": "slots",
    "features/reads-more": "reads",
    "features/reads-less": "reads",
    "features/float-only-features": "float64",
    "features/cpu-only-features": "device",
    "features/back-on-cpu": "device",
}
"""Canary → the check that is there for it, then others that notice too."""

FROM_MUTATION = "masked-never-sampled"

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

MESSAGES = {
    "network/slots-hard-coded": "N=1: the row of logits for 'slot' is (8, 6, 3), not (8, 6, 1)",
    "critic/op-blind": "N=1: it says the same of WAIT and LIGHT, ",
    "features/first-three-slots": "N=5: 'lit' moves with its own slot, but not in slots [3, 4]",
    "features/reads-more": "it reads the field 'brightness', which its spec's `reads` lacks",
}


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


@pytest.mark.parametrize("key", CANARIES)
def test_canaries_fail_the_check_for_them(canaries: Index, key: str) -> None:
    row = result(canaries, key, CANARIES[key].split()[0])
    assert row.status == "failed" and MESSAGES.get(key, "") in row.message, row
    if key == "network/cpu-only":
        source = Path(row.file)
        assert source.parts[-2:] == ("sick", "network.py")
        assert "features.obs + offset" in source.read_text().splitlines()[row.line - 1]


@pytest.mark.slow
@pytest.mark.parametrize("key", CANARIES)
def test_canaries_fail_nothing_else(canaries: Index, key: str) -> None:
    assert_only_fails(canaries, key, *CANARIES[key].split())


def test_torch_at_import(canaries: Index) -> None:
    row = result(canaries, "network/torch-at-import", "registration")
    assert row.status == "failed" and "it imports torch" in row.message


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_every_check_has_a_canary(suite: Suite) -> None:
    failed = {checks.split()[0] for key, checks in CANARIES.items() if key.startswith(f"{suite.kind}/")}
    failed |= {FROM_MUTATION} if suite.kind == "network" else set()
    assert failed == set(suite.declared) == {check.name for check in suite.checks}


def test_a_mask_ignored_once_in_a_thousand_draws(canaries: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks never see masks; whoever draws is core's distribution, whose wire is cut here."""
    mask_of = FactoredDistribution._mask

    def careless(self: FactoredDistribution, name: str) -> Tensor:
        mask = mask_of(self, name)
        rows = torch.arange(len(mask), device=mask.device) % 1000 == 999
        return mask | rows.reshape(-1, *[1] * (mask.dim() - 1))

    monkeypatch.setattr(FactoredDistribution, "_mask", careless)
    row = result(canaries, "network/memoryless", FROM_MUTATION)
    assert row.status == "failed" and "took an illegal action in" in row.message
