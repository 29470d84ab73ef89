"""`esper league promote`."""

from __future__ import annotations

from typing import Annotated

import typer

from esper_core.cli import choices
from esper_core.cli.output import kept, print_json, say
from esper_league.commands.opening import Directory, document, open_league, rated
from esper_league.retirement import KEEP_TOP


def promote(
    league: Directory,
    top: Annotated[int, typer.Option(help="How many of the best are commanders.", min=1)] = KEEP_TOP,
    as_json: choices.AsJson = False,
) -> None:
    """Make commanders of the candidates that are among the best.

    Candidates and commanders are ranked by rating − 2·RD. Who was never rated is not ranked.

    \b
      esper league promote arena --top 10
    """  # noqa: D301
    with open_league(league) as opened:
        promoted = opened.promote(top)
    with kept("What was promoted stays so."):
        if as_json:
            print_json({"promoted": [document(entry) for entry in promoted]})
        elif not promoted:
            say(f"No candidate is among the best {top}.")
        for entry in promoted if not as_json else ():
            say(f"{entry.name} is a commander now ({rated(entry)}).")
