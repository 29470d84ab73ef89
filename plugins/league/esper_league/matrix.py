"""Who beats whom: the matrix of scores, and whether it has cycles that no rating can express."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from esper_league.entry import LeagueEntry
from esper_league.match import Match

SURE = 1.645
"""Standard deviations of a one-sided bound of 95 %."""


class Matrix(NamedTuple):
    """Scores of K entries against each other, K rows of K; the diagonal is 0.

    Attributes:
        names: The entries, the highest rating first.
        wins: What each scored against each in all, points.
        games: Matches of each pair.
    """

    names: list[str]
    wins: list[list[float]]
    games: list[list[int]]


def matrix_of(entries: Sequence[LeagueEntry], matches: Sequence[Match]) -> Matrix:
    """Return the matrix of entries, the highest rating first."""
    ordered = sorted(entries, key=lambda entry: (-entry.rating.rating, entry.created_at, entry.id))
    place = {entry.id: number for number, entry in enumerate(ordered)}
    wins = [[0.0] * len(ordered) for _ in ordered]
    games = [[0] * len(ordered) for _ in ordered]
    for match in matches:
        if match.first in place and match.second in place:
            i, j = place[match.first], place[match.second]
            wins[i][j] += match.score
            wins[j][i] += 1.0 - match.score
            games[i][j] += 1
            games[j][i] += 1
    return Matrix([entry.name for entry in ordered], wins, games)


def beats(wins: float, games: int) -> bool:
    """Return whether who scored so many points in so many games is stronger, with a certainty of 95 % (Wilson)."""
    if not games:
        return False
    share, spread = wins / games, SURE * SURE / games
    bound = share + spread / 2.0 - SURE * math.sqrt(share * (1.0 - share) / games + spread / (4.0 * games))
    return bound / (1.0 + spread) > 0.5


def cyclic_triples(matrix: Matrix) -> list[tuple[str, str, str]]:
    """Return triples of names in which each beats the next and the last beats the first, all with certainty.

    Each is told once and begins with its highest rating.
    """
    size = range(len(matrix.names))
    better = [[beats(matrix.wins[i][j], matrix.games[i][j]) for j in size] for i in size]
    found = []
    for i, j, k in combinations(size, 3):
        for a, b, c in ((i, j, k), (i, k, j)):
            if better[a][b] and better[b][c] and better[c][a]:
                found.append((matrix.names[a], matrix.names[b], matrix.names[c]))
    return found
