"""`esper league show`."""

from __future__ import annotations

from typing import Any

import typer

from esper_core.cli import choices
from esper_core.cli.installed import load_installed
from esper_core.cli.output import number, print_json, print_table, say
from esper_league.commands.opening import Directory, EntryName, document, open_league, rated


def show(context: typer.Context, league: Directory, entry: EntryName, as_json: choices.AsJson = False) -> None:
    """Show one entry of a league: its ratings, its matches and what became of it.

    \b
      esper league show arena lieutenant
    """  # noqa: D301
    index, _ = load_installed(context)
    with open_league(league) as opened:
        found = opened.entry(entry)
        broken, matrix = opened.broken(found, index), opened.matrix()
        past = [row for row in opened.history() if row.entry == found.id]
        happenings = [event for event in opened.happenings() if event.entry == found.id]
    own = matrix.names.index(found.name)
    scores = [
        {"opponent": name, "points": matrix.wins[own][i], "games": matrix.games[own][i]}
        for i, name in enumerate(matrix.names)
        if matrix.games[own][i]
    ]
    if as_json:
        print_json(
            {
                **document(found),
                "broken": broken,
                "history": [
                    {"period": p.period, "closed_at": p.closed_at, "rating": p.rating.rating, "rd": p.rating.rd}
                    | {"vol": p.rating.vol, "kind": p.kind}
                    for p in past
                ],
                "opponents": scores,
                "happenings": [{"at": event.at, "what": event.what, "why": dict(event.why)} for event in happenings],
            }
        )
        return
    say(
        f"{found.name}, a {found.kind}",
        f"  id         {found.id}",
        f"  from       {found.source}",
        f"  rating     {rated(found)}, at least {found.rating.conservative:.0f}; volatility {found.rating.vol:.4f}",
        f"  games      {found.games}",
        *([f"  broken     {line}" for line in broken.splitlines()]),
    )
    if past:
        say()
        rows = [(f"  {p.period}", f"{p.rating.rating:.0f}", f"{2 * p.rating.rd:.0f}", p.kind) for p in past]
        print_table(("  period", "rating", "± 2 RD", "kind"), rows)
    if scores:
        say()
        print_table(("  opponent", "score", "games"), [_score(row) for row in scores])
    if happenings:
        say("")
        events = [(f"  {event.at[:19]}", event.what, _why(event.why)) for event in happenings]
        print_table(("  when (UTC)", "what", "why"), events)


def _score(row: dict[str, Any]) -> tuple[str, str, int]:
    return f"  {row['opponent']}", f"{row['points'] / row['games']:.0%}", row["games"]


def _why(facts: Any) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in facts.items())
