"""The chapter about who was promoted and retired, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from esper_evaluation.report.document import Chapter
from esper_evaluation.report.figures import Bar, Board, Lane, Table, Timeline, Track, short
from esper_league.entry import CANDIDATE, COMMANDER, RETIRED, RULE, LeagueEntry
from esper_league.match import Happening
from esper_league.report.record import Record
from esper_league.report.standings import day, points

TRACKS = 60
"""Entries that are drawn at most."""

ROWS = 200
"""Happenings in the table at most, the latest."""

SHADES = (RETIRED, CANDIDATE, RULE, COMMANDER)
"""Kinds in the order of the shades of their stretches."""

BECAME = {"promoted": COMMANDER, "retired": RETIRED, "reinstated": COMMANDER}


def careers(record: Record) -> Chapter:
    """Return what became of everybody."""
    if not record.entries:
        return Chapter("careers", "Promoted and retired", "Nobody plays here yet.", [])
    # The last stretch is what came after the last period.
    steps = len(record.periods) + 1
    told: dict[str, list[Happening]] = defaultdict(list)
    for happening in record.happenings:
        told[happening.entry].append(happening)
    shown = record.entries[:TRACKS]
    tracks = [
        Track(f"{number} {entry.name}", [_lane(_stretches(record, entry, told[entry.id]), steps)])
        for number, entry in enumerate(shown, start=1)
    ]
    note = (
        "From left to right by the number of rating periods that were closed before; the last stretch is what is now."
    )
    if len(shown) < len(record.entries):
        note += f" The first {len(shown)} of {len(record.entries)} entries are drawn."
    late = record.happenings[: -ROWS - 1 : -1]
    rows = [[record.names[h.entry], h.what, str(record.period_at(h.at)), day(h.at), _why(h.why)] for h in late]
    table = Table(["entry", "what", "after period", "when (UTC)", "why"], rows, rigid=True)
    drawn = Timeline(
        "What everybody was", note, SHADES, steps, [Board("", "", tracks)], table, axis="period", named=True
    )
    changes = [row for row, happening in zip(rows, late, strict=True) if happening.what in BECAME]
    events = (
        [Table(table.header, changes, "Promotions and retirements, the latest first", rigid=True)] if changes else []
    )
    text = "" if changes else "Nobody was promoted or retired yet."
    return Chapter("careers", "Promoted and retired", text, [drawn, *events])


def _stretches(record: Record, entry: LeagueEntry, told: Sequence[Happening]) -> list[tuple[int, str]]:
    """Return what an entry was from which period on."""
    found = [(record.period_at(entry.created_at), RULE if entry.kind == RULE else CANDIDATE)]
    for happening in told:
        if happening.what in BECAME:
            found.append((record.period_at(happening.at), BECAME[happening.what]))
    return found


def _lane(stretches: Sequence[tuple[int, str]], steps: int) -> Lane:
    start = stretches[0][0]
    length = steps - start
    ends = [begin for begin, _ in stretches[1:]] + [steps]
    bars = [
        Bar(
            round(100 * (begin - start) / length, 2),
            round(100 * (end - begin) / length, 2),
            SHADES.index(kind),
            f"{kind} after period {begin}",
        )
        for (begin, kind), end in zip(stretches, ends, strict=True)
        if end > begin  # else it became something else within the same period
    ]
    name = " → ".join(kind for _, kind in stretches)
    return Lane(round(100 * start / steps, 2), round(100 * length / steps, 2), name, bars, None)


def _why(facts: Mapping[str, Any]) -> str:
    """Return the facts of a happening as text; those that are known together are told together."""
    left = dict(facts)
    told = []
    if {"rank", "of"} <= set(left):
        told.append(f"rank {left.pop('rank')} of {left.pop('of')}")
    if {"rating", "rd"} <= set(left):
        told.append(f"{points(left.pop('rating'))} ± {points(2 * left.pop('rd'))}")
    if "games" in left:
        told.append(f"{left.pop('games')} games")
    return ", ".join([*told, *(f"{name.replace('_', ' ')} {_fact(value)}" for name, value in left.items())])


def _fact(value: Any) -> str:
    return short(round(value, 1)) if isinstance(value, float) else str(value)
