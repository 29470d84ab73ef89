"""`esper league reinstate`."""

from __future__ import annotations

from esper_core.cli import choices
from esper_core.cli.output import kept, print_json, say
from esper_league.commands.opening import Directory, EntryName, document, open_league, rated


def reinstate(league: Directory, entry: EntryName, as_json: choices.AsJson = False) -> None:
    """Bring a retired entry back.

    It is a commander again, with its last rating, less certain by the periods that it missed.

    \b
      esper league reinstate arena veteran
    """  # noqa: D301
    with open_league(league) as opened:
        found = opened.reinstate(entry)
    with kept(f"{found.name} is reinstated."):
        if as_json:
            print_json(document(found))
        else:
            say(f"{found.name} is a commander again ({rated(found)}).")
