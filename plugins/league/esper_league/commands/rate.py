"""`esper league rate`."""

from __future__ import annotations

from esper_core.cli import choices
from esper_core.cli.output import kept, print_json, print_table, say
from esper_league.commands.opening import Directory, counted, document, open_league, rated


def rate(league: Directory, as_json: choices.AsJson = False) -> None:
    """Close a rating period: rate everybody by the matches since the last.

    All new ratings follow from those before the period, so that the order of matches does not matter. Who did not play
    becomes less certain.

    \b
      esper league play arena --games 200 && esper league rate arena
    """  # noqa: D301
    with open_league(league) as opened:
        before = {entry.id: entry for entry in opened.entries()}
        period = opened.rate_period()
        entries = [entry for entry in opened.entries() if entry.id in period.ratings]
    entries.sort(key=lambda entry: entry.rating.conservative, reverse=True)
    with kept(f"Period {period.number} is closed."):
        if as_json:
            ratings = [document(entry) for entry in entries]
            print_json({"period": period.number, "matches": period.matches, "entries": ratings})
            return
        say(f"Period {period.number}: {counted(period.matches)}.", "")
        rows = [
            (e.name, e.kind, rated(e), f"{e.rating.rating - before[e.id].rating.rating:+.0f}", e.games) for e in entries
        ]
        print_table(("entry", "kind", "rating ± 2 RD", "change", "games"), rows)
