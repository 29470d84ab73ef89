"""`esper league retire`."""

from __future__ import annotations

from typing import Annotated

import typer

from esper_core.cli import choices
from esper_core.cli.output import kept, print_json, say
from esper_league.commands.opening import Directory, document, open_league, rated
from esper_league.retirement import KEEP_TOP, MIN_GAMES


def retire(
    league: Directory,
    keep_top: Annotated[int, typer.Option(help="The best that are kept whatever they played.", min=1)] = KEEP_TOP,
    min_games: Annotated[int, typer.Option(help="Matches before anybody is retired.", min=0)] = MIN_GAMES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say who would be retired; change nothing.")] = False,
    as_json: choices.AsJson = False,
) -> None:
    """Retire commanders that are no longer among the best.

    Those go that are outside the first of --keep-top by rating − 2·RD and have played at least --min-games. They stay
    in the league with their history and do not play any more, until they are reinstated.

    \b
      esper league retire arena --keep-top 10 --dry-run
    """  # noqa: D301
    with open_league(league) as opened:
        retired = opened.retire(keep_top, min_games, dry_run=dry_run)
    with kept("Nothing was changed." if dry_run else "Who was retired stays so."):
        if as_json:
            print_json({"would_retire" if dry_run else "retired": [document(entry) for entry in retired]})
        elif not retired:
            say("Nobody is to be retired." if dry_run else "Nobody was retired.")
        for entry in retired if not as_json else ():
            said = "would be retired" if dry_run else "is retired"
            say(f"{entry.name} {said} ({rated(entry)}, {entry.games} games).")
