"""The matrix counts both sides, and cycles are told where they are sure."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from esper_league import League
from esper_league.matrix import Matrix, beats, triples
from plugins.league.tests.conftest import commander, enter, play


def test_the_matrix_counts_every_match_for_both(arena: League) -> None:
    enter(arena, commander("a", 1400), commander("b", 1600, kind="retired", retired_at="2026"))
    play(arena, ("a", "b", 1.0), ("a", "b", 0.5), ("b", "a", 1.0))
    assert arena.matrix() == Matrix(["b", "a"], [[0, 1.5], [1.5, 0]], [[0, 3], [3, 0]])


def test_rock_paper_scissors_is_a_cycle_and_chance_is_none() -> None:
    def matrix(points: float) -> Matrix:
        names, lost = ["rock", "paper", "scissors"], 20 - points
        return Matrix(names, [[0, lost, points], [points, 0, lost], [lost, points, 0]], [[20] * 3] * 3)

    assert triples(matrix(18)) == ([("rock", "scissors", "paper")], 1)
    assert triples(matrix(2)) == ([("rock", "paper", "scissors")], 1)
    assert triples(matrix(11)) == ([], 0)


@pytest.mark.parametrize(("wins", "games", "sure"), [(2, 2, False), (3, 3, True), (13, 20, False), (15, 20, True)])
def test_who_beats_whom_is_said_with_certainty(wins: float, games: int, sure: bool) -> None:
    assert beats(wins, games) is sure and not beats(games - wins, games)


def test_triples_are_those_that_one_finds_by_looking_at_each() -> None:
    draw, size = random.Random(4), range(14)
    wins = [[0.0] * 14 for _ in size]
    for i, j in combinations(size, 2):
        wins[i][j] = float(draw.choice((0, 10, 20)))
        wins[j][i] = 20.0 - wins[i][j]
    names = [str(i) for i in size]
    found = triples(Matrix(names, wins, [[20] * 14] * 14))

    def over(*three: int) -> bool:
        return all(wins[a][b] == 20 for a, b in zip(three, (*three[1:], three[0]), strict=True))

    each = [order for i, j, k in combinations(size, 3) for order in ((i, j, k), (i, k, j)) if over(*order)]
    assert found.cyclic == [(names[a], names[b], names[c]) for a, b, c in each] and len(each) > 5
    assert found.decided == sum(all(wins[a][b] != 10 for a, b in combinations(t, 2)) for t in combinations(size, 3))
