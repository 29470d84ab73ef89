"""Verdicts follow from counts, and a check that did not run is no pass."""

from __future__ import annotations

import pytest

from esper_testing.spikes.verdict import Category, Verdict


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
        ([category(passed=3, failed=1)], "RED", 5),
        ([category(passed=3)], "RED", 5),
        ([category(declared=0)], "RED", 5),
        ([], "RED", 5),
        ([category(passed=4), around(passed=3, failed=1)], "YELLOW", 0),
        ([category(passed=3, failed=1), around(passed=4)], "RED", 5),
        ([category(passed=4), around(passed=2, failed=1)], "RED", 5),
    ],
)
def test_colours(categories: list[Category], colour: str, code: int) -> None:
    result = verdict(*categories)
    assert (result.colour, result.exit_code) == (colour, code)
