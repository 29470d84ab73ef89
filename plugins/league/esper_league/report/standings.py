"""The chapter about who is how strong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from esper_core.runs.directory import RUN_FILE
from esper_evaluation.report.document import Chapter, Figure
from esper_evaluation.report.figures import Interval, Intervals, Link, Notice, Table
from esper_league.entry import CANDIDATE, COMMANDER, RETIRED, RULE, LeagueEntry
from esper_league.report.record import Record

BARS = 60
"""Entries with a bar at most."""

COLOURS = (COMMANDER, CANDIDATE, RULE, RETIRED)
"""Kinds in the order of the colours of their bars."""


def standings(record: Record, page: Path) -> Chapter:
    """Return who is how strong, with links to the runs from the place of the page."""
    if not record.entries:
        text = f"Nobody plays here yet. Add somebody: esper league add {record.path} RUN, or --rule NAME."
        return Chapter("standings", "Standings", text, [])
    figures: list[Figure] = [*_notices(record)]
    shown = record.entries[:BARS]
    note = "Rating, and ± 2 RD: where the strength lies with a probability of about 95 %."
    if len(shown) < len(record.entries):
        note += f" The first {len(shown)} of {len(record.entries)} entries are drawn; all are in the table."
    rows = [
        Interval(
            f"{number} {entry.name}",
            entry.rating.rating - 2 * entry.rating.rd,
            entry.rating.rating,
            entry.rating.rating + 2 * entry.rating.rd,
            said(entry),
            COLOURS.index(entry.kind),
        )
        for number, entry in enumerate(shown, start=1)
    ]
    figures.append(Intervals("Ratings now", note, rows, COLOURS))
    header = ["entry", "kind", "rating ± 2 RD", "at least", "games", "scored", "added (UTC)", "from", "id"]
    cells = [_row(record, place, page) for place in range(len(record.entries))]
    figures.append(Table(header, cells, "All entries", rigid=True))
    text = (
        "Ratings are Glicko-2’s. Entries stand in the order of what they are worth at least, rating − 2 RD; those that "
        "are retired come last. Their numbers are the same all over this page."
    )
    return Chapter("standings", "Standings", text, figures)


def said(entry: LeagueEntry) -> str:
    """Return a rating with its uncertainty as text."""
    return f"{points(entry.rating.rating)} ± {points(2 * entry.rating.rd)}"


def points(value: float) -> str:
    """Return a number of points as text."""
    return f"{value:,.0f}".replace("-", "−")


def _notices(record: Record) -> Iterator[Notice]:
    if record.broken:
        why = " ".join(f"{record.names[entry]}: {reason}" for entry, reason in record.broken.items())
        yield Notice(f"{len(record.broken)} cannot play any more", f"The others do. {why}")
    if record.unrated:
        unrated = f"{record.unrated} match{'es' * (record.unrated != 1)}"
        yield Notice(
            "Not everything is rated",
            f"{unrated} {'wait' if record.unrated > 1 else 'waits'} for the next rating period: "
            f"esper league rate {record.path}",
        )


def _row(record: Record, place: int, page: Path) -> list[str | Link]:
    entry = record.entries[place]
    wins, games = sum(record.matrix.wins[place]), sum(record.matrix.games[place])
    return [
        f"{place + 1} {entry.name}",
        f"{entry.kind}{', broken' * (entry.id in record.broken)}",
        said(entry),
        points(entry.rating.conservative),
        f"{games:,}",
        f"{wins / games:.0%}" if games else "–",
        day(entry.created_at),
        _origin(entry, page),
        entry.id,
    ]


def _origin(entry: LeagueEntry, page: Path) -> str | Link:
    """Return where an entry comes from; a link where that is a run which still lies there."""
    run = Path(str(entry.meta.get("run", "")))
    if "run" in entry.meta and (run / RUN_FILE).is_file():
        report = run / "report.html"
        return Link.to(Path(entry.source).name, report if report.is_file() else run, page)
    return entry.source


def day(moment: str) -> str:
    """Return a moment, ISO 8601 in UTC, to the minute."""
    return moment[:16].replace("T", " ")
