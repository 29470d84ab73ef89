"""Who beats whom: the matrix of scores, and whether it has cycles that no rating can express."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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


class Triples(NamedTuple):
    """What triples of entries say of a game.

    Attributes:
        cyclic: Names of three of which each beats the next and the last beats the first, all with certainty; each is
            told once and begins with its highest rating.
        decided: How many there are of which in every pair one is surely stronger.
    """

    cyclic: list[tuple[str, str, str]]
    decided: int


def triples(matrix: Matrix) -> Triples:
    """Return which triples are cycles, and how many could be.

    Entries that somebody beats, or loses to, are the bits of a number, so that no triple is looked at which is neither.
    """
    names, size = matrix.names, range(len(matrix.names))
    beaten, losing = [0] * len(names), [0] * len(names)
    for i in size:
        for j in size:
            if beats(matrix.wins[i][j], matrix.games[i][j]):
                beaten[i] |= 1 << j
                losing[j] |= 1 << i
    cyclic = []
    for a in size:
        later = -1 << a + 1
        for b in _bits(beaten[a] & later):
            cyclic += [(a, b, c) for c in _bits(beaten[b] & losing[a] & later)]
    sure = [beaten[i] | losing[i] for i in size]
    decided = sum((sure[i] & sure[j]).bit_count() for i in size for j in _bits(sure[i] & ~(-1 << i))) // 3
    ordered = sorted(cyclic, key=lambda found: (sorted(found), found))
    return Triples([(names[a], names[b], names[c]) for a, b, c in ordered], decided)


def _bits(number: int) -> Iterator[int]:
    """Yield the places of the bits of a number."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
