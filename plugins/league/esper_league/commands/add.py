"""`esper league add`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esper_core.cli import choices, completion
from esper_core.cli.installed import load_installed
from esper_core.cli.output import kept, print_json, say, warn
from esper_core.contracts.errors import UserError
from esper_core.runs.directory import find_run
from esper_league.commands.opening import Directory, document, open_league


def add(
    context: typer.Context,
    league: Directory,
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A path, or the beginning of a name.", autocompletion=completion.runs),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Add this rule.", autocompletion=completion.components("rule")),
    ] = None,
    at: Annotated[str, typer.Option(metavar="K", help="Checkpoint: last, best, or the number of an update.")] = "last",
    name: Annotated[str | None, typer.Option(metavar="N", help="What it is called in the league.")] = None,
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="Take it although it was trained with other options.")
    ] = False,
    out: choices.Out = Path("runs"),
    as_json: choices.AsJson = False,
) -> None:
    """Add a trained policy or a rule to a league.

    The weights are copied; the run may be removed. The same weights are added once: who is in the league already, even
    retired, stays as it is.

    \b
      esper league add arena combat-suite-s3-2026 --at 40 --name veteran
      esper league add arena --rule lieutenant
    """  # noqa: D301
    if (run is None) == (rule is None):
        message = "Nobody is named." if run is None else "Both a run and a rule are named."
        raise UserError(message, hint=f"Write esper league add {league} RUN, or esper league add {league} --rule NAME.")
    index, recipes = load_installed(context)
    with open_league(league) as opened:
        if rule is not None:
            entry, is_new = opened.add_rule(rule, index, recipes.pins, name=name)
        else:
            found = find_run(str(run), out)
            entry, is_new = opened.add_run(found, index, at=at, name=name, elsewhere=elsewhere)
    for note in entry.meta.get("notes", ()) if is_new else ():
        warn(note)
    if name not in (None, entry.name):
        warn(f"It was there already and keeps its name, {entry.name}: --name {name} is that of newcomers alone.")
    with kept(f"{entry.name} is in the league."):
        if as_json:
            print_json({**document(entry), "new": is_new})
        else:
            state = f"is in {league} now, a {entry.kind}" if is_new else f"was in {league} already, as a {entry.kind}"
            say(f"{entry.name} ({entry.id}) {state}.")
