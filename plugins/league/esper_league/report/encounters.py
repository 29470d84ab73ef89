"""The chapter about who beat whom, and whether ratings can say so."""

from __future__ import annotations

import math
from collections.abc import Sequence

from esper_evaluation.report.document import Chapter, Figure
from esper_evaluation.report.figures import HeatMap, Notice, Table
from esper_league.glicko import expected_score
from esper_league.matrix import Matrix
from esper_league.report.record import Record

LARGEST = 40
"""Entries in the matrix at most."""

PAIRS, WORST, CYCLES = 200, 10, 12
"""Pairs in the long and in the short table, and cycles that are named, at most."""

DEVIATIONS = 1.96
"""Standard deviations of an interval of 95 %."""


def encounters(record: Record) -> Chapter:
    """Return who scored what against whom."""
    matrix = record.matrix
    if not record.matches:
        text = f"No match was played yet. Play some: esper league play {record.path}"
        return Chapter("matrix", "Who beats whom", text, [])
    figures: list[Figure] = [_heat(matrix)]
    if record.triples.cyclic:
        figures = [_warning(record), _cycles(matrix, record.triples.cyclic), *figures]
    pairs = _pairs(record)
    note = "Surprise is the distance from what ratings expect, in standard deviations of chance."
    worst = [[row[0], row[1], row[3], row[5], row[6]] for row in pairs[:WORST]]
    names = [PAIR[i] for i in (0, 1, 3, 5, 6)]
    figures.append(Table(names, worst, "Pairs that surprise most", note, rigid=True))
    title = f"{'All' if len(pairs) < PAIRS else len(pairs)} pairs, the most surprising first"
    figures.append(Table(PAIR, pairs, title, folded=True, rigid=True))
    text = (
        "What the row scored against the column: points of all matches of the pair, 1 for a victory and a half for a "
        "draw. Ratings foretell pairs that have hardly met; where a pair has met often, this is the better witness."
    )
    if not record.triples.cyclic:
        text += f" {_none(record.triples.decided)}"
    return Chapter("matrix", "Who beats whom", text, figures)


def _heat(matrix: Matrix) -> HeatMap:
    size = range(min(len(matrix.names), LARGEST))
    note = "Blue is more than half, orange less. Columns have the numbers of rows."
    if len(size) < len(matrix.names):
        note += f" The first {len(size)} of {len(matrix.names)} entries are drawn."
    return HeatMap(
        "Score of the row",
        note,
        "",
        [f"{i + 1} {matrix.names[i]}" for i in size],
        [str(i + 1) for i in size],
        [[_share(matrix, i, j) for j in size] for i in size],
        share=True,
        balanced=True,
        told=[[_told(matrix, i, j) for j in size] for i in size],
    )


def _share(matrix: Matrix, i: int, j: int) -> float | None:
    return matrix.wins[i][j] / matrix.games[i][j] if matrix.games[i][j] else None


def _told(matrix: Matrix, i: int, j: int) -> str:
    if i == j:
        return matrix.names[i]
    pair = f"{matrix.names[i]} against {matrix.names[j]}"
    return f"{pair}: {_score(matrix, i, j)}" if matrix.games[i][j] else f"{pair}: not played"


def _warning(record: Record) -> Notice:
    count, decided = len(record.triples.cyclic), record.triples.decided
    return Notice(
        "This game is not transitive",
        f"Of {decided:,} triple{'s' * (decided > 1)} in which every pair is decided, {count:,} "
        f"{'are cycles' if count > 1 else 'is a cycle'}: the first beats the second, the second the third, and the "
        "third the first, each with a certainty of 95 %. A rating is one number and cannot say so: whoever has the "
        "highest of the three, another of them beats it. Trust the matrix, and draw opponents by how often they win "
        "(--matchmaking pfsp) rather than by rating.",
    )


def _none(decided: int) -> str:
    if not decided:
        return (
            "No triple has met often enough to tell whether somebody beats somebody who beats somebody who beats them."
        )
    return f"Of {decided:,} triple{'s' * (decided > 1)} in which every pair is decided (95 %), none is a cycle."


def _cycles(matrix: Matrix, found: Sequence[tuple[str, str, str]]) -> Table:
    place = {name: number for number, name in enumerate(matrix.names)}
    rows = []
    for a, b, c in found[:CYCLES]:
        scores = [_score(matrix, place[one], place[other]) for one, other in ((a, b), (b, c), (c, a))]
        rows.append([a, scores[0], b, scores[1], c, scores[2]])
    note = f"{CYCLES} of {len(found):,} are shown." if len(found) > CYCLES else ""
    header = ["first", "beats the second", "second", "beats the third", "third", "beats the first"]
    return Table(header, rows, "Cycles", note, rigid=True)


def _score(matrix: Matrix, i: int, j: int) -> str:
    return f"{matrix.wins[i][j]:g} of {matrix.games[i][j]}"


PAIR = ["entry", "against", "points", "scored", "95 % interval", "ratings expect", "surprise"]


def _pairs(record: Record) -> list[list[str]]:
    """Return the pairs that met; a surprise is the distance to what was expected, in standard deviations of chance."""
    matrix, entries = record.matrix, record.entries
    rows = []
    for i in range(len(entries)):
        for j in range(i + 1, len(entries)):
            if games := matrix.games[i][j]:
                expected = expected_score(entries[i].rating, entries[j].rating)
                chance = math.sqrt(games * expected * (1 - expected)) or 1.0
                rows.append(((matrix.wins[i][j] - games * expected) / chance, expected, i, j))
    rows.sort(key=lambda row: -abs(row[0]))
    return [
        [
            f"{i + 1} {entries[i].name}",
            f"{j + 1} {entries[j].name}",
            _score(matrix, i, j),
            f"{matrix.wins[i][j] / matrix.games[i][j]:.0%}",
            "{:.0%} to {:.0%}".format(*wilson(matrix.wins[i][j], matrix.games[i][j])),
            f"{expected:.0%}",
            f"{surprise:+.1f}".replace("-", "−"),
        ]
        for surprise, expected, i, j in rows[:PAIRS]
    ]


def wilson(wins: float, games: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson's), as if matches were independent of each other."""
    share, spread = wins / games, DEVIATIONS**2 / games
    half = DEVIATIONS * math.sqrt(share * (1 - share) / games + spread / (4 * games))
    return (share + spread / 2 - half) / (1 + spread), (share + spread / 2 + half) / (1 + spread)
