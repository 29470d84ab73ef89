"""The suite of features: those that are right pass, and every check is failed by a canary."""

from __future__ import annotations

import pytest

from esper_core.registry.index import Index
from esper_testing.conformance.features import SUITE
from plugins.testing.tests.conformance.looking import assert_only_fails, results

CANARIES = {
    "named-twice": "schema",
    "three-blocks": "schema",
    "source-unknown": "schema",
    "dimension-off": "shapes",
    "vocabulary-short": "indices",
    "nan-when-empty": "finite",
    "unclamped": "ranges",
    "jittery": "deterministic",
    "scales-in-place": "state-untouched",
    "batch-centred": "batch-of-one",
    "leaking": "sources",
    "dead-column": "sources",
    "swapped": "sources",
    "first-three-slots": "slots",
    "reads-more": "reads",
    "reads-less": "reads",
    "float-only-features": "float64",
    "cpu-only-features": "device",
    "back-on-cpu": "device",
}


@pytest.mark.parametrize("name", ["flat", "obs-v3"])
def test_what_is_installed_passes(installed: Index, name: str) -> None:
    rows = results(installed, f"features/{name}")
    assert {row.status for row in rows.values()} == {"passed"}, rows
    assert set(SUITE.declared) <= set(rows)


@pytest.mark.parametrize(("canary", "check"), CANARIES.items())
def test_canaries(canaries: Index, canary: str, check: str) -> None:
    assert_only_fails(canaries, f"features/{canary}", check)


def test_every_check_has_a_canary() -> None:
    assert set(CANARIES.values()) == set(SUITE.declared) == {check.name for check in SUITE.checks}


def test_other_ways_are_right_too(canaries: Index) -> None:
    assert {row.status for row in results(canaries, "features/counting").values()} == {"passed"}


def test_a_message_says_where_what_went_wrong(canaries: Index) -> None:
    row = assert_only_fails(canaries, "features/first-three-slots", "slots")
    assert row.message == "N=5: 'lit' moves with its own slot, but not in slots [3, 4]"
    row = assert_only_fails(canaries, "features/reads-more", "reads")
    assert row.message == "it reads the field 'brightness', which its spec's `reads` lacks"
    assert row.file.endswith("sick/features.py") and row.line
