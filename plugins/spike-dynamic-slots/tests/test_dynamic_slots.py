"""The spike as a whole: its counts, its colours, and its checks in anybody's test suite."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from esper_core.contracts.errors import UserError
from esper_spike_dynamic_slots.categories import CATEGORIES, CHECKS, find_checks, trained_of
from esper_spike_dynamic_slots.config import DynamicSlotsConfig
from esper_spike_dynamic_slots.work import NO_SLOTS
from esper_testing.spikes.verdict import Verdict

Judge = Callable[..., Verdict]


def test_it_passes_every_check_of_its_kind(conforms: Callable[[str], None]) -> None:
    conforms("spike/dynamic-slots")


def test_a_policy_that_follows_n_is_green(judge: Judge) -> None:
    seen = []
    verdict = judge("net", slots=(2, 5), on_result=seen.append)
    assert verdict.colour == "GREEN"
    declared = [(checks.category, checks.declared((2, 5))) for checks in CATEGORIES]
    assert [(c.name, c.declared) for c in verdict.categories] == declared
    assert [(c.name, c.passed) for c in verdict.categories] == declared
    assert len(seen) == sum(number for _, number in declared) and verdict.seconds > 0
    assert [c.name for c in verdict.categories if c.integration] == ["mask integration", "agent integration"]
    content = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert (content["spike"], content["policy"], content["slots"]) == ("dynamic-slots", "net", [2, 5])
    assert content["blockers"] == content["failures"] == content["skips"] == []
    assert content["compatibility"] == {"2": {"2": True, "5": False}, "5": {"2": False, "5": True}}
    measured = {row["name"]: row["measured"] for row in content["hyperparameters"]}
    assert measured["entropy coefficient"]["largest slot entropy"] == pytest.approx({"2": 0.693147, "5": 1.60944})
    assert measured["learning rate"]["joint actions"] == {"2": 48, "5": 120}
    assert set(measured["PPO clip"]["clip fraction, mean of 10 updates"]) == {"2", "5"} and len(measured) == 3


def test_one_category_alone_and_fewer_slot_counts(judge: Judge) -> None:
    verdict = judge("net", slots=None, only="forward/backward", quick=True)
    assert verdict.slots == DynamicSlotsConfig().quick_slots == (1, 4)
    assert [(c.name, c.declared, c.passed) for c in verdict.categories] == [("forward/backward", 10, 10)]
    assert verdict.colour == "GREEN" and "only a part" in verdict.recommendation
    assert judge("net", slots=None, only="entropy").slots == (1, 2, 3, 4, 5, 8)
    assert judge("net", slots=(64, 64), only="entropy").slots == (64,), "the largest one has a neighbour"
    with pytest.raises(UserError, match="Did you mean 'network construction'"):
        judge("net", only="network constructio")


@pytest.mark.parametrize(("asked", "trained"), [((1, 2, 3, 4, 5, 8), (2, 5)), ((1, 4), (4,)), ((8, 5, 1), (5,))])
def test_a_policy_is_trained_at_two_and_five_as_far_as_they_are_asked_for(
    asked: tuple[int, ...], trained: tuple[int, ...]
) -> None:
    assert trained_of(asked) == trained
    assert find_checks("minimal PPO training").declared(asked) == 4 * len(trained)
    assert find_checks("checkpoint compatibility").declared(asked) == len(asked) + len(asked) ** 2, "every pair"


def test_what_is_hard_coded_to_three_is_green_at_three_and_in_nobodys_way(judge: Judge) -> None:
    verdict = judge("three-slot-head", slots=(3,), masks="constant")
    assert (verdict.colour, verdict.blockers) == ("GREEN", ())


def test_what_surrounds_the_policy_is_yellow_and_names_itself(judge: Judge) -> None:
    verdict = judge("net", masks="constant")
    assert (verdict.colour, verdict.exit_code) == ("YELLOW", 0)
    assert {c.name for c in verdict.categories if c.failed} == {"mask integration", "agent integration"}
    assert verdict.recommendation.startswith("**Go for the arch") and "2 blockers" in verdict.recommendation


def test_a_policy_without_slots_is_told_that_it_has_none(judge: Judge) -> None:
    verdict = judge("net", slots=(2, 4), environment="gymnasium", masks="gymnasium")
    assert (verdict.colour, verdict.failures) == ("YELLOW", ())
    assert {skip.reason for skip in verdict.skips} == {NO_SLOTS} and NO_SLOTS in verdict.recommendation
    assert (
        sum(c.skipped for c in verdict.categories) == sum(c.declared for c in verdict.categories) == len(verdict.skips)
    )


def test_what_does_not_apply_is_yellow_with_the_reason(judge: Judge) -> None:
    verdict = judge("no-memory", only="recurrent state")
    assert verdict.colour == "YELLOW"
    assert {skip.reason for skip in verdict.skips} == {"the network remembers nothing: its state never changes"}


def test_a_lost_check_is_red(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esper_spike_dynamic_slots.categories.Checks.declared", lambda self, slots: 99)
    verdict = judge("net", only="entropy")
    assert (verdict.colour, verdict.exit_code) == ("RED", 5)
    assert verdict.categories[0].missing == 99 - 12
    assert "did not run" in verdict.recommendation


def test_declared_counts_are_those_of_the_modules() -> None:
    for checks in CATEGORIES:
        tree = ast.parse(checks.path.read_text())
        tests = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
        pairs = [test for test in tests if "saved_slots" in {argument.arg for argument in test.args.args}]
        assert (len(tests) - len(pairs), len(pairs)) == (checks.count, checks.pairs), checks.module
        assert f'CATEGORY = "{checks.category}"' in checks.path.read_text()
    assert {checks.module for checks in CATEGORIES} == {path.name for path in CHECKS.glob("test_*.py")}


def test_the_page_lists_the_categories() -> None:
    page = (Path(__file__).parents[3] / "docs" / "dynamic-slots.md").read_text()
    section = page.split("### What is checked")[1].split("### The verdict")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    counts = {trained_of: " of 2 and 5"}
    assert rows == [
        f"| {c.category} | {c.count} per slot count{counts.get(c.slots, '')}"
        f"{' and 1 per pair of them' * c.pairs} | {'yes' if c.integration else 'no'} |"
        for c in CATEGORIES
    ]
    assert f"runs {sum(c.declared(DynamicSlotsConfig().slots) for c in CATEGORIES)} checks" in page


@pytest.mark.slow
def test_the_checks_run_in_any_test_suite() -> None:
    """A plugin author runs them with pytest itself, on the installed policy of their choice."""
    arguments = ["-p", "esper_spike_dynamic_slots.fixtures", "--esper-policy", "lstm-v1", "--esper-slots", "2,5"]
    command = [sys.executable, "-m", "pytest", "-q", "--pyargs", "esper_spike_dynamic_slots.checks", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKS.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    declared = sum(checks.declared((2, 5)) for checks in CATEGORIES)
    assert f"{declared} passed" in done.stdout
