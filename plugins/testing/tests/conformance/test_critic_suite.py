"""The suite of critics: those that are right pass, and every check is failed by a canary."""

from __future__ import annotations

import pytest

from esper_core.registry.index import Index
from esper_testing.conformance.critic import SUITE
from plugins.testing.tests.conformance.looking import assert_only_fails, results

CANARIES = {
    "trailing-axis": "shapes",
    "refuses-without-hint": "without-operations",
    "drops-out": "deterministic",
    "unseeded-value": "seeded",
    "relu-in-place": "inputs-untouched",
    "centred": "rows-independent",
    "taken-is-baseline": "consistent",
    "baseline-beyond": "consistent",
    "q-unclaimed": "claims",
    "op-blind": "q-by-op",
    "q-only-claimed": "q-by-op",
    "detached": "gradient",
    "dead-value-parameter": "gradient",
    "float-only-value": "float64",
    "no-rescale": "rescale",
    "statistics-outside": "state-dict",
    "mixed-precision-value": "bf16",
    "cpu-only-value": "device",
}


@pytest.mark.parametrize("name", ["op-conditioned-critic", "state-value"])
def test_what_is_installed_passes(installed: Index, name: str) -> None:
    rows = results(installed, f"critic/{name}")
    assert {row.status for row in rows.values()} == {"passed"}, rows
    assert set(SUITE.declared) - set(rows) == (set() if name == "op-conditioned-critic" else {"q-by-op"})


@pytest.mark.parametrize(("canary", "check"), CANARIES.items())
def test_canaries(canaries: Index, canary: str, check: str) -> None:
    assert_only_fails(canaries, f"critic/{canary}", check)


def test_every_check_has_a_canary() -> None:
    assert set(CANARIES.values()) == set(SUITE.declared) == {check.name for check in SUITE.checks}


def test_other_ways_are_right_too(canaries: Index) -> None:
    rows = results(canaries, "critic/table")
    assert {row.status for row in rows.values()} == {"passed"} and "q-by-op" in rows, rows


def test_an_op_blind_critic_is_named_with_the_operations_it_confuses(canaries: Index) -> None:
    row = assert_only_fails(canaries, "critic/op-blind", "q-by-op")
    assert row.message.startswith("N=1: it says the same of WAIT and LIGHT, ")
