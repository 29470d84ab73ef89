"""`esper league play`."""

from __future__ import annotations

from typing import Annotated

import typer

from esper_core.cli import choices
from esper_core.cli.counting import counting
from esper_core.cli.installed import load_installed
from esper_core.cli.output import kept, print_json, say
from esper_core.cli.stopping import stopping_promptly
from esper_core.contracts.errors import Interrupted, Terminated
from esper_league.commands.opening import Directory, counted, open_league


def play(
    context: typer.Context,
    league: Directory,
    games: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Matches to play, one more where that is odd: each seed is played from both sides.",
            min=1,
            max=1_000_000,
        ),
    ] = 200,
    workers: Annotated[
        int, typer.Option(metavar="N", help="Processes that play; 0 plays in this one.", min=0, max=1024)
    ] = 2,
    as_json: choices.AsJson = False,
) -> None:
    """Play matches between all entries that are not retired.

    Pairs that have met least play first, and every seed from both sides, so that neither has the better lot. Each match
    is on record as soon as it is over; stop it whenever you like, and the same command plays on.

    \b
      esper league play arena --games 200 --workers 2
      esper league rate arena
    """  # noqa: D301
    index, _ = load_installed(context)
    told: list[str] = []

    def stopped() -> Interrupted:
        where = f" after {told[-1]}" if told else ""
        return Interrupted(
            f"Stopped{where}. Every match that was over is kept.", hint=f"Go on with: esper league play {league}"
        )

    with open_league(league) as opened, stopping_promptly(lambda: str(stopped())):
        from esper_league import play as matches

        try:
            with counting("matches", told, plain=as_json) as (show, warning):
                played = matches.play(opened, index, games=games, workers=workers, on_progress=show, warn=warning)
        except (KeyboardInterrupt, Terminated) as error:
            interrupted = stopped()
            interrupted.exit_code = error.exit_code if isinstance(error, Terminated) else Interrupted.exit_code
            raise interrupted from error
    count, are = counted(played.matches), "is" if played.matches == 1 else "are"
    with kept(f"{count} {are} on record."):
        if as_json:
            print_json({"played": played.matches, "broken": dict(played.broken)})
        else:
            say(f"{count} {are} on record. Rate everybody by them: esper league rate {league}")
