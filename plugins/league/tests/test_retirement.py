"""Who is retired and promoted: the two cases that were asked for, and those that were not thought of."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper_league import LeagueEntry
from esper_league.retirement import promotions, retirements
from plugins.league.tests.conftest import commander


def names(entries: list[LeagueEntry]) -> list[str]:
    return [entry.name for entry in entries]


def test_the_last_three_of_ten_are_retired() -> None:
    ten = [commander(f"c{i}", 1500 - 50 * i) for i in range(10)]
    assert names(retirements(ten, keep_top=7)) == ["c9", "c8", "c7"], "the worst first"
    assert retirements(ten, keep_top=10) == retirements(ten, keep_top=20) == []


def test_newcomers_are_not_retired() -> None:
    six = [commander(f"c{i}", 1500 - 100 * i, games=5 if i < 3 else 100) for i in range(6)]
    assert names(retirements(six, keep_top=4, min_games=20)) == ["c5", "c4"]
    new = [commander(f"c{i}", 1500 - 100 * i, games=5 if i >= 3 else 100) for i in range(6)]
    assert retirements(new, keep_top=4, min_games=20) == []


def test_many_newcomers_never_retire_the_best() -> None:
    new = [commander(f"new{i}", rd=350, games=0) for i in range(30)]
    old = [commander(f"old{i}", 1700 + i, 60) for i in range(5)]
    assert retirements([*new, *old]) == []
    # However good the newcomers are, the first `keep_top` stay.
    better = [commander(f"new{i}", 1900, 60, games=5) for i in range(30)]
    assert "old4" not in names(retirements([*better[:4], *old], keep_top=5))


def test_the_uncertain_goes_before_the_certain() -> None:
    pair = [commander("certain", 1500, 30), commander("uncertain", 1600, 150)]
    assert names(retirements(pair, keep_top=1)) == ["uncertain"]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_equals_the_oldest_goes_first(order: tuple[int, ...]) -> None:
    three = [commander(f"c{i}", created_at=f"2026-01-0{i + 1}") for i in range(3)]
    assert names(retirements([three[i] for i in order], keep_top=1)) == ["c0", "c1"]


SEVERAL = st.lists(st.tuples(st.integers(900, 2000), st.integers(30, 350), st.integers(0, 40)), max_size=30)


@given(SEVERAL, st.integers(1, 10), st.integers(0, 30))
def test_whoever_plays_the_best_are_kept(said: list[tuple[int, int, int]], keep_top: int, min_games: int) -> None:
    entries = [commander(f"c{i:02}", rating, rd, games) for i, (rating, rd, games) in enumerate(said)]
    gone = retirements(entries, keep_top, min_games)
    values = sorted((entry.rating.conservative for entry in entries), reverse=True)
    assert all(entry.games >= min_games and entry.rating.conservative <= values[keep_top - 1] for entry in gone)
    assert len(entries) - len(gone) >= min(keep_top, len(entries))
    assert [entry.rating.conservative for entry in gone] == sorted(entry.rating.conservative for entry in gone)


def test_only_commanders_are_retired_and_only_rated_candidates_promoted() -> None:
    entries = [
        commander("good", 1600),
        commander("weak", 1200),
        commander("rule", 900, kind="rule"),
        commander("gone", 1900, kind="retired", retired_at="2026"),
        commander("candidate", 1500, kind="candidate"),
        commander("unrated", 1500, 350, kind="candidate"),
    ]
    assert names(retirements(entries, keep_top=1)) == ["weak"]
    assert names(promotions(entries, 2)) == ["candidate"] and promotions(entries, 1) == []
    assert names(promotions(entries, 20)) == ["candidate"]
