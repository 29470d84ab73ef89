"""The matrix counts both sides, and cycles are told where they are sure."""

from __future__ import annotations

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
