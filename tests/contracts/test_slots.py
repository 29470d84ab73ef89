"""Slot ids, slot order, and how slots are named on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper_core import SlotConfig
from esper_core.contracts.errors import SlotIdError, UserError
from esper_core.contracts.slots import MAX_SLOTS, format_slot_id, parse_slot_id

POSITIONS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=MAX_SLOTS, unique=True)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_ids_round_trip(row: int, column: int) -> None:
    assert parse_slot_id(format_slot_id(row, column)) == (row, column)


@given(POSITIONS)
def test_ids_in_row_major_order_round_trip_through_text(positions: list[tuple[int, int]]) -> None:
    ids = tuple(format_slot_id(*position) for position in sorted(positions))
    slots = SlotConfig.parse(" , ".join(ids))
    assert slots.slot_ids == ids
    assert slots.num_slots == len(ids)
    assert [slots.index_of(slot_id) for slot_id in ids] == list(range(len(ids)))


@given(POSITIONS.filter(lambda positions: positions != sorted(positions)))
def test_any_other_order_is_refused_with_the_right_one(positions: list[tuple[int, int]]) -> None:
    with pytest.raises(SlotIdError, match="row-major") as caught:
        SlotConfig(tuple(format_slot_id(*position) for position in positions))
    right = caught.value.hint.removeprefix("Use --slots ").removesuffix(".")
    assert SlotConfig.parse(right).slot_ids == tuple(format_slot_id(*position) for position in sorted(positions))


@given(st.integers(1, 8), st.integers(1, 8))
def test_grids_are_row_major(rows: int, columns: int) -> None:
    slots = SlotConfig.for_grid(rows, columns)
    assert slots.num_slots == rows * columns
    assert slots.index_of(format_slot_id(rows - 1, columns - 1)) == rows * columns - 1
    assert slots.index_of(format_slot_id(0, columns - 1)) == columns - 1


def test_a_count_is_one_row_and_order_is_by_number() -> None:
    assert SlotConfig.parse(" 3 ") == SlotConfig.for_grid(1, 3) == SlotConfig.parse("r0c0,r0c1,r0c2")
    assert SlotConfig.parse("r0c2,r0c10,r2c0,r10c0").num_slots == 4
    assert SlotConfig.parse(str(MAX_SLOTS)).num_slots == MAX_SLOTS
    with pytest.raises(SlotIdError, match="at least one slot"):
        SlotConfig(())


@pytest.mark.parametrize("text", ["r0", "0c0", "r-1c0", "r00c1", "r0c01", "R0C0", "r0c0 ", "r0c0\n", "", "r٣c0"])
def test_what_is_no_slot_id(text: str) -> None:
    with pytest.raises(SlotIdError, match="is not a slot id"):
        parse_slot_id(text)


@pytest.mark.parametrize(("former", "now"), [("early", "r0c0"), ("mid", "r0c1"), ("late", "r0c2")])
def test_former_names_are_translated(former: str, now: str) -> None:
    with pytest.raises(SlotIdError) as caught:
        SlotConfig.parse(former)
    assert f"'{former}' is now called '{now}'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "at least one slot, not 0"),
        ("-2", "at least one slot, not -2"),
        ("65", "at most 64"),
        (",".join(f"r0c{i}" for i in range(65)), "at most 64"),
        ("r0c0,r0c0", "'r0c0' is named twice"),
        ("r0c0,", "'' is not a slot id"),
        ("three", "'three' is not a slot id"),
        ("2.5", "'2.5' is not a slot id"),
        ("9" * 5000, "not one of 5000 digits"),
        ("1,2,3", "'1,2,3' holds several numbers of slots"),
        ("3, r0c0", "'3, r0c0' holds several numbers of slots"),
    ],
)
def test_impossible_slots_are_user_errors(text: str, words: str) -> None:
    with pytest.raises(SlotIdError, match=words) as caught:
        SlotConfig.parse(text)
    assert isinstance(caught.value, UserError)
    assert caught.value.exit_code == 2


def test_several_counts_are_refused_with_who_takes_them() -> None:
    with pytest.raises(SlotIdError, match="with one") as caught:
        SlotConfig.parse("1,2,3")
    assert "--slots 3" in caught.value.hint and "esper spike run or esper matrix" in caught.value.hint


def test_unknown_and_invalid_ids_differ() -> None:
    slots = SlotConfig.for_grid(1, 2)
    with pytest.raises(SlotIdError, match="no slot 'r5c5' here"):
        slots.index_of("r5c5")
    with pytest.raises(SlotIdError, match="is not a slot id"):
        slots.index_of("nonsense")
