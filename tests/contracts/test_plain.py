"""Plain values: numbers of all kinds become plain, everything reads back exactly or is refused with its place."""

from __future__ import annotations

import enum
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esper_core.contracts.plain import DEEPEST, LONGEST, NotPlain, from_exact, plain, to_exact

TEXT = st.text() | st.sampled_from(["$float", "$tuple", "$", "$$x", "inf"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(2**63, 2**200) | st.floats() | TEXT,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


Colour = enum.IntEnum("Colour", {"RED": 3})


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else []


CIRCLE: dict[str, Any] = {}
CIRCLE["again"] = CIRCLE


def there_and_back(value: Any) -> Any:
    return from_exact(json.loads(json.dumps(to_exact(value), allow_nan=False, ensure_ascii=False).encode()))


@given(VALUES)
def test_every_value_comes_back(value: Any) -> None:
    # A NaN equals nothing, and 0.0 equals -0.0, False and 0: texts tell them all apart.
    assert repr(there_and_back(value)) == repr(value)


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, -0.0, 5e-324, 1.7976931348623157e308, 10**LONGEST - 1, nested(DEEPEST - 2)]
)
def test_values_at_their_limits_come_back(value: Any) -> None:
    assert repr(there_and_back([value])) == repr([value])


def test_numbers_become_plain_exactly() -> None:
    for value, expected in (
        (np.float32(0.1), float(np.float32(0.1))),
        (np.int64(2**62 + 1), 2**62 + 1),
        (np.array(2.5), 2.5),
        (torch.tensor(7), 7),
        (Colour.RED, 3),
        ({"a": {"b": np.float64(1.5)}}, {"a": {"b": 1.5}}),
    ):
        assert repr(plain(value)) == repr(expected)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, {2}]}, r"it holds a set at 'a\[1\]'"),
        ({"a": np.zeros((2, 3))}, r"holds a ndarray of shape \[2, 3\] at 'a'"),
        ({"a": {1: 2}}, "a table with the key 1, which is not a string at 'a'"),
        (b"x", "it is a bytes"),
        (10**LONGEST, "an integer of more than"),
        (nested(DEEPEST + 1), "within one another"),
        (CIRCLE, "within one another"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(value: Any, words: str) -> None:
    for convert in (plain, to_exact):
        with pytest.raises(NotPlain, match=words):
            convert(value)


def test_only_what_can_be_written_exactly_is() -> None:
    with pytest.raises(NotPlain, match="a string that is not valid Unicode at 'a'"):
        to_exact({"a": "\udcff"})
    assert plain({"a": "\udcff"}) == {"a": "\udcff"}, "such as the name of a file"


@pytest.mark.parametrize(
    "written",
    [{"$float": "1.5"}, {"$float": 1.0}, {"$float": []}, {"$float": "inf", "a": 1}, {"$tuple": {}}, {"$set": []}],
)
def test_tables_that_only_look_written_are_refused(written: Any) -> None:
    with pytest.raises(NotPlain, match="marks nothing"):
        from_exact([written])
