"""What is written as JSON reads back exactly, or is refused with the place of what cannot be."""

from __future__ import annotations

import datetime
import enum
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper_core.contracts.plain import DEEPEST, LONGEST, NotPlain, from_exact, to_exact

TEXT = st.text() | st.sampled_from(["$float", "$tuple", "$", "$$x", "inf"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(2**63, 2**200) | st.floats() | TEXT,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


def there_and_back(value: Any) -> Any:
    return from_exact(json.loads(json.dumps(to_exact(value), allow_nan=False, ensure_ascii=False).encode()))


@given(VALUES)
def test_every_value_comes_back(value: Any) -> None:
    # A NaN equals nothing, and 0.0 equals -0.0, False and 0: texts tell them all apart.
    assert repr(there_and_back(value)) == repr(value)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, -0.0, 5e-324, 1.7976931348623157e308, 0.1])
def test_numbers_at_their_limits_come_back(number: float) -> None:
    assert repr(there_and_back([number])) == repr([number])


def test_the_longest_whole_number_comes_back() -> None:
    assert there_and_back(10**LONGEST - 1) == 10**LONGEST - 1


class Colour(enum.IntEnum):
    RED = 3


def test_kinds_of_numbers_and_texts_come_back_as_what_they_are_worth() -> None:
    assert repr(there_and_back({"a": Colour.RED, "b": [True]})) == repr({"a": 3, "b": [True]})


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, {2}]}, r"a set at 'a\.1'"),
        ({"when": datetime.date(2026, 1, 31)}, "holds a date at 'when'"),
        ({"a": {1: 2}}, "a table at 'a' with the key 1"),
        (b"x", "is a bytes"),
        (10**LONGEST, "a whole number of more than"),
        ({"a": "\udcff"}, "a text at 'a' that is no Unicode"),
        (nested(DEEPEST + 1), "within one another"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(value: Any, words: str) -> None:
    with pytest.raises(NotPlain, match=words):
        to_exact(value)


def test_a_table_that_holds_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(NotPlain, match="within one another"):
        to_exact(loop)


@pytest.mark.parametrize(
    "written",
    [{"$float": "1.5"}, {"$float": 1.0}, {"$float": []}, {"$float": "inf", "a": 1}, {"$tuple": {}}, {"$set": []}],
)
def test_tables_that_only_look_written_are_refused(written: Any) -> None:
    with pytest.raises(NotPlain, match="marks nothing"):
        from_exact([written])


def test_the_deepest_is_kept() -> None:
    value = nested(DEEPEST - 1)
    assert there_and_back(value) == value
