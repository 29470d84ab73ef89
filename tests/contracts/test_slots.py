"""Slot ids, slot order, and how slots are named on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper_core import SlotConfig
from esper_core.contracts.errors import SlotIdError
from esper_core.contracts.slots import MAX_SLOTS


def ids_of(positions: list[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(f"r{row}c{column}" for row, column in positions)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=MAX_SLOTS, unique=True))
def test_ids_are_in_row_major_order_and_any_other_is_refused_with_the_right_one(
    positions: list[tuple[int, int]],
) -> None:
    ids = ids_of(sorted(positions))
    assert SlotConfig.parse(" , ".join(ids)).slot_ids == ids
    if ids_of(positions) != ids:
        with pytest.raises(SlotIdError, match="row-major") as caught:
            SlotConfig(ids_of(positions))
        right = caught.value.hint.removeprefix("Use --slots ").removesuffix(".")
        assert SlotConfig.parse(right).slot_ids == ids


def test_a_count_is_one_row_and_order_is_by_number() -> None:
    assert SlotConfig.parse(" 3 ") == SlotConfig.for_grid(1, 3) == SlotConfig.parse("r0c0,r0c1,r0c2")
    assert SlotConfig.parse("r0c2,r0c10,r2c0,r10c0").num_slots == 4
    assert SlotConfig.for_grid(2, 2).slot_ids == ("r0c0", "r0c1", "r1c0", "r1c1")
    assert SlotConfig.parse(str(MAX_SLOTS)).num_slots == MAX_SLOTS
    with pytest.raises(SlotIdError, match="at least one slot"):
        SlotConfig(())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "at least one slot, not 0"),
        ("-2", "at least one slot, not -2"),
        ("65", "at most 64"),
        (",".join(f"r0c{i}" for i in range(65)), "at most 64"),
        ("r0c0,r0c0", "'r0c0' is named twice"),
        ("r0c0,", "'' is not a slot id"),
        *((text, f"'{text}' is not a slot id") for text in ("three", "2.5", "r-1c0", "r00c1", "R0C0", "r٣c0")),
        ("mid", "'mid' is now called 'r0c1'"),
        ("9" * 5000, "not one of 5000 digits"),
        ("1,2,3", r"holds several numbers of slots, (.|\n)* --slots 3, .* esper spike run or esper matrix"),
    ],
)
def test_impossible_slots_are_user_errors(text: str, words: str) -> None:
    with pytest.raises(SlotIdError, match=words):
        SlotConfig.parse(text)
