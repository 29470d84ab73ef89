"""`esper league table`."""

from __future__ import annotations

import typer

from esper_core.cli import choices
from esper_core.cli.installed import load_installed
from esper_core.cli.output import print_json, print_table, say, warn
from esper_league.commands.opening import Directory, counted, document, open_league, rated
from esper_league.entry import RETIRED
from esper_league.matrix import triples

SHOWN = 3
"""Cycles that are named at most."""


def table(context: typer.Context, league: Directory, as_json: choices.AsJson = False) -> None:
    """Show who plays in a league, the best first by what they are worth with some certainty, rating − 2·RD.

    An entry whose weights cannot be used any more is shown as broken, with the reason; it does not play.

    \b
      esper league table arena
      esper league table arena --json
    """  # noqa: D301
    index, _ = load_installed(context)
    with open_league(league) as opened:
        entries, matrix, unrated = opened.entries(), opened.matrix(), len(opened.matches(unrated=True))
        broken = {entry.id: opened.broken(entry, index) for entry in entries}
        game = opened.game
    entries.sort(key=lambda entry: (entry.kind == RETIRED, -entry.rating.conservative))
    cycles = triples(matrix).cyclic
    points = {name: sum(row) for name, row in zip(matrix.names, matrix.wins, strict=True)}
    if as_json:
        rows = [{**document(entry), "points": points[entry.name], "broken": broken[entry.id]} for entry in entries]
        said = {"league": str(league), "game": {**game.to_json(), "digest": game.digest}, "unrated_matches": unrated}
        print_json({**said, "entries": rows, "cyclic_triples": cycles})
        return
    if not entries:
        say(f"Nobody plays in {league} yet. Add somebody: esper league add {league} RUN")
        return
    print_table(
        ("entry", "kind", "rating ± 2 RD", "at least", "games", "score", "from"),
        [
            (
                *(entry.name, entry.kind if not broken[entry.id] else "broken", rated(entry)),
                *(f"{entry.rating.conservative:.0f}", entry.games),
                *(f"{points[entry.name] / entry.games:.0%}" if entry.games else "-", entry.source),
            )
            for entry in entries
        ],
    )
    if unrated:
        say("", f"{counted(unrated)} {'is' if unrated == 1 else 'are'} not rated yet: esper league rate {league}")
    for entry in entries:
        if broken[entry.id]:
            warn(f"{entry.name} is broken and does not play: {broken[entry.id]}")
    if cycles:
        shown = "; ".join(" > ".join((*triple, triple[0])) for triple in cycles[:SHOWN])
        more = f"; and {len(cycles) - SHOWN} more" if len(cycles) > SHOWN else ""
        warn(f"The game is not transitive, so that no order of ratings tells who beats whom: {shown}{more}.")
