"""Runs side by side: only what differs, and honest about what cannot be compared."""

from __future__ import annotations

import pytest

from esper_evaluation.report.comparison import compare
from plugins.evaluation.tests.report.conftest import MakeRun, component, line


def test_only_what_differs_is_told(make_run: MakeRun) -> None:
    a = make_run("a", seed=1)
    b = make_run(
        "b",
        seed=2,
        components=[
            component("environment", "growth", epochs=10),
            component("network", "lstm-v1", hidden_dim=128, extra=1),
        ],
        train={"lr": 1e-3, "gamma": 0.995},
        record={"libraries": {"torch": "2.9.0"}, "git": None},
    )
    found = compare([a, b])
    assert {row.name: row.values for row in found.plan} == {
        "seed": (1, 2),
        "network": ("lstm-v2", "lstm-v1"),
        "network.hidden_dim": (512, 128),
        "network.extra": (None, 1),
        "train.lr": (3e-4, 1e-3),
    }
    assert {row.name: row.values for row in found.made_with} == {
        "torch": ("2.13.0", "2.9.0"),
        "git commit": ("f" * 40, None),
        "git changed": (False, None),
    }


def test_equal_runs_do_not_differ(make_run: MakeRun) -> None:
    found = compare([make_run("a"), make_run("b")])
    assert (found.plan, found.made_with) == ([], [])
    (change,) = [outcome.change for outcome in found.outcomes if outcome.name == "return"]
    assert change is not None and change.mean == 0 and change.low is not None and change.low < 0


def test_unequal_lengths_are_compared_where_both_have_been(make_run: MakeRun) -> None:
    short, long = make_run("short", updates=8), make_run("long", updates=20)
    found = compare([short, long])
    assert list(found.window) == [7, 8]
    (returns,) = [outcome for outcome in found.outcomes if outcome.name == "return"]
    first, second = returns.intervals
    assert first is not None and second is not None
    assert first.mean == second.mean == pytest.approx(0.75) and first.count == second.count == 4
    assert any("8 and 20 updates" in note for note in found.notes)


def test_other_numbers_of_steps_seeds_and_environments_are_said(make_run: MakeRun) -> None:
    a = make_run("a")
    b = make_run(
        "b",
        seed=7,
        lines=[line(u, environment_steps=u * 80) for u in range(1, 5)],
        components=[component("environment", "growth", epochs=40), component("network", "lstm-v2", hidden_dim=512)],
        slots=["r0c0"],
    )
    notes = " ".join(compare([a, b]).notes)
    for words in ("80 and 320 environment steps", "may not be comparable", "different slots", "one seed (0 and 7)"):
        assert words in notes
