"""Which matches come next."""

from __future__ import annotations

from collections import Counter

import pytest

from esper_league.schedule import Fixture, batches, enough, fixtures

SEEDS = list(range(100, 140))


def keys(found: list[Fixture]) -> list[tuple[str, str, int]]:
    return [(fixture.first, fixture.second, fixture.instance) for fixture in found]


def test_everybody_meets_everybody_from_both_sides_of_each_seed_with_the_first_place_in_turn() -> None:
    found = keys(fixtures("abc", [], SEEDS, 12))
    assert len(set(found)) == 12 and Counter(frozenset(pair) for *pair, _ in found) == {
        frozenset("ab"): 4,
        frozenset("ac"): 4,
        frozenset("bc"): 4,
    }
    assert [key for key in found if {*key[:2]} == {"a", "b"}] == [
        ("a", "b", 100),
        ("a", "b", 101),
        ("b", "a", 102),
        ("b", "a", 103),
    ]
    assert len(fixtures("abc", [], SEEDS, 3)) == 4, "no seed from one side alone"


def test_those_who_have_met_least_come_first_and_half_played_seeds_before_new_ones() -> None:
    record = [("a", "b", 100), ("a", "c", 100), ("a", "c", 101), ("b", "c", 100), ("b", "c", 101)]
    assert keys(fixtures("abc", record, SEEDS, 1)) == [("a", "b", 101)]
    found = fixtures("abcd", record, SEEDS, 6)
    assert {fixture.second for fixture in found} == {"d"} and {f.first for f in found} == {"a", "b", "c"}
    assert not {*keys(fixtures("abc", record, SEEDS, 30))} & {*record}


def test_what_cannot_be_scheduled() -> None:
    with pytest.raises(ValueError, match="takes two"):
        fixtures("a", [], SEEDS, 2)
    with pytest.raises(ValueError, match=r"no instances left for \('a', 'b'\)"):
        fixtures("ab", [], SEEDS[:4], 6)
    record = keys(fixtures("abc", [], SEEDS, 9))
    fixtures("abc", record, SEEDS[: enough(record, 5)], 5)


def test_a_batch_has_one_second() -> None:
    found = batches(fixtures("abc", [], SEEDS, 30), 4)
    assert sum(map(len, found)) == 30 and max(map(len, found)) == 4
    assert all(len({fixture.second for fixture in batch}) == 1 for batch in found)
