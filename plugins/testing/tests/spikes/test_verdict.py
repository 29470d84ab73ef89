"""Verdicts follow from counts, and a check that did not run is no pass."""

from __future__ import annotations

import json

import pytest

from esper_testing.spikes.verdict import Blocker, Category, Failure, Place, Skip, Verdict


def verdict(*categories: Category) -> Verdict:
    return Verdict(spike="probe", policy="p", slots=(1, 2), categories=categories, seconds=1.23456)


def category(**counts: int) -> Category:
    return Category(name="c", **({"declared": 4} | counts))


def around(**counts: int) -> Category:
    return Category(name="around", integration=True, **({"declared": 4} | counts))


@pytest.mark.parametrize(
    ("categories", "colour", "code"),
    [
        ([category(passed=4)], "GREEN", 0),
        ([category(passed=4), category(passed=3, skipped=1)], "YELLOW", 0),
        ([category(skipped=4)], "YELLOW", 0),
        ([category(passed=3, failed=1)], "RED", 5),
        ([category(passed=3)], "RED", 5),
        ([category()], "RED", 5),
        ([category(passed=4), category(passed=2, skipped=1)], "RED", 5),
        ([category(declared=0)], "RED", 5),
        ([category(declared=0, passed=3)], "RED", 5),
        ([], "RED", 5),
        ([category(passed=4), around(passed=3, failed=1)], "YELLOW", 0),
        ([around(failed=4)], "YELLOW", 0),
        ([category(passed=3, failed=1), around(passed=4)], "RED", 5),
        ([category(passed=4), around(passed=2, failed=1)], "RED", 5),
        ([category(passed=4), around(passed=4)], "GREEN", 0),
    ],
)
def test_colours(categories: list[Category], colour: str, code: int) -> None:
    result = verdict(*categories)
    assert (result.colour, result.exit_code) == (colour, code)


def test_missing_checks_are_counted() -> None:
    assert category(passed=1, skipped=1).missing == 2
    assert category(passed=9).missing == 0


def test_json() -> None:
    places = [Place("a.py", 3, "x = 5")]
    failure = Failure(category="c", check="test_x", slots=5, message="no", file="a.py", line=3, trace=places)
    skip = Skip(category="c", check="test_y", slots=None, reason="nothing to see")
    blocker = Blocker(description="five", kind="number", file="b.py", line=1, complexity="low", consumers=places)
    result = Verdict(
        spike="probe",
        policy="p",
        slots=[5],
        categories=[category(failed=1)],
        failures=[failure],
        skips=[skip],
        blockers=[blocker],
        figures={"compatibility": {"5": {"5": True}}},
    )
    content = json.loads(json.dumps(result.to_json()))
    assert content["verdict"] == "RED"
    assert content["slots"] == [5]
    assert content["categories"] == [{"name": "c", "declared": 4, "passed": 0, "failed": 1, "skipped": 0}]
    assert content["failures"][0] == {
        "category": "c",
        "check": "test_x",
        "slots": 5,
        "message": "no",
        "file": "a.py",
        "line": 3,
    }
    assert content["skips"] == [{"category": "c", "check": "test_y", "slots": None, "reason": "nothing to see"}]
    assert content["blockers"] == [
        {
            "description": "five",
            "kind": "number",
            "file": "b.py",
            "line": 1,
            "complexity": "low",
            "consumers": [{"file": "a.py", "line": 3, "text": "x = 5"}],
        }
    ]
    assert content["compatibility"] == {"5": {"5": True}}
    assert verdict(category(passed=4)).to_json()["seconds"] == 1.235
