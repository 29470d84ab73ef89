"""The suite of losses: those that are right pass, and every check is failed by a canary."""

from __future__ import annotations

import pytest

from esper_core.registry.index import Index
from esper_testing.conformance.loss import SUITE
from plugins.testing.tests.conformance.looking import assert_only_fails, results

CANARIES = {
    "not-scalar": ("result",),
    "metric-with-history": ("result",),
    "kl-with-history": ("result",),
    "target-is-text": ("result",),
    "adapting": ("deterministic",),
    "standardises-in-place": ("inputs-untouched",),
    "one-head-only": ("gradient",),
    "reads-padding": ("padding",),
    "standardises-again": ("zero-advantage",),
    "mask-ignored": ("no-choice",),
    "estimated-kl": ("divergence",),
    "wrong-sign": ("raises-advantaged",),
    "no-regression": ("regresses-returns", "gradient"),
    "away-from-returns": ("regresses-returns",),
    "all-entropy": ("learns",),
    "float-only-loss": ("float64",),
    "cpu-only-loss": ("device",),
}
"""Canary → the check that is there for it, then others that notice too."""


def test_what_is_installed_passes(installed: Index) -> None:
    rows = results(installed, "loss/factored-ppo")
    assert {row.status for row in rows.values()} == {"passed"}, rows
    assert set(SUITE.declared) <= set(rows)


@pytest.mark.parametrize(("canary", "checks"), CANARIES.items())
def test_canaries(canaries: Index, canary: str, checks: tuple[str, ...]) -> None:
    assert_only_fails(canaries, f"loss/{canary}", *checks)


def test_every_check_has_a_canary() -> None:
    assert {checks[0] for checks in CANARIES.values()} == set(SUITE.declared) == {check.name for check in SUITE.checks}


def test_other_ways_are_right_too(canaries: Index) -> None:
    rows = results(canaries, "loss/huber")
    assert {row.status for row in rows.values()} == {"passed"}, rows
