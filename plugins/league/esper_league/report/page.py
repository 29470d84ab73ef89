"""One HTML page about a league: everything in one file, without scripts and without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from esper_evaluation.report.document import Chapter, Document, Tile, check_replaceable, write_page
from esper_evaluation.report.figures import Facts
from esper_league.entry import CANDIDATE, COMMANDER, RETIRED, RULE
from esper_league.report.careers import careers
from esper_league.report.curves import curves
from esper_league.report.encounters import encounters
from esper_league.report.record import Record
from esper_league.report.standings import day, said, standings

if TYPE_CHECKING:
    from esper_core.registry.index import Index
    from esper_league.league import League

NAME = "report.html"


def write_report(league: League, index: Index, path: Path) -> None:
    """Write the page about a league.

    Raises:
        UserError: it would be written over a file that is not a report.
        EsperError: the league cannot be read, or the page cannot be written; one that was there before stays.
    """
    check_replaceable(path)
    write_page(render(Record.read(league, index), path), path)


def render(record: Record, path: Path) -> str:
    """Return the page about a league, as it stands at a path, from where its links lead."""
    game = record.game
    begun = min((entry.created_at for entry in record.entries), default="")
    name = record.path.resolve().name
    document = Document(
        kicker="esper · report of a league",
        title=name,
        subtitle=f"{game.environment.rpartition(':')[2]}, sides {' and '.join(game.sides)}",
        name=name,
        origin=f"{record.path}{f' · begun {day(begun)}' if begun else ''}",
        tiles=_tiles(record),
        chapters=[standings(record, path), curves(record), encounters(record), careers(record), _game(record)],
    )
    return document.render()


def _tiles(record: Record) -> list[Tile]:
    kinds = [entry.kind for entry in record.entries]
    counts = [
        f"{n} {kind}{'s' * (n > 1 and kind != RETIRED)}"
        for kind in (COMMANDER, CANDIDATE, RULE, RETIRED)
        if (n := kinds.count(kind))
    ]
    tiles = [Tile("entries", str(len(kinds)), ", ".join(counts))]
    if record.periods:
        best = record.entries[0]
        tiles.append(Tile("first", said(best), best.name))
    unrated = f"{record.unrated} not rated yet" if record.unrated else "all rated" if record.matches else ""
    tiles.append(Tile("matches", f"{len(record.matches):,}", unrated))
    met = sum(games > 0 for row in record.matrix.games for games in row) // 2
    pairs = len(kinds) * (len(kinds) - 1) // 2
    tiles.append(Tile("pairs that met", f"{met:,}", f"of {pairs:,}"))
    last = record.periods[max(record.periods)] if record.periods else ""
    tiles.append(Tile("rating periods", str(len(record.periods)), f"last {day(last)}" if last else ""))
    cycles = len(record.triples.cyclic)
    tiles.append(Tile("cycles", str(cycles), "not transitive" if cycles else "none seen"))
    return tiles


def _game(record: Record) -> Chapter:
    game = record.game
    text = "Fixed when the league was created. Who was trained for something else is refused."
    facts = {
        "environment": game.environment,
        "sides": ", ".join(game.sides),
        "slots": ", ".join(game.slots) or "none",
        "digest of actions": game.actions,
        "digest of all this": game.digest,
        **{f"environment.{name}": json.dumps(value) for name, value in game.options.items()},
    }
    return Chapter("game", "What is played", text, [Facts("Game", facts)])
