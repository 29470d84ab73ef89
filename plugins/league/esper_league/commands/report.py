"""`esper league report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from esper_core.cli import choices
from esper_core.cli.installed import load_installed
from esper_core.cli.output import kept, print_json, say
from esper_league.commands.opening import Directory, open_league


def report(
    context: typer.Context,
    league: Directory,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it; report.html of the league without it.")
    ] = None,
    open_it: Annotated[
        bool, typer.Option("--open/--no-open", help="Show it in the browser when it is written.")
    ] = False,
    as_json: choices.AsJson = False,
) -> None:
    """Write one HTML page about a league: ratings over periods, who beats whom, who was promoted and retired.

    The page holds all it needs: it opens from disk, without a network, and runs no script. Other processes may play
    meanwhile.

    \b
      esper league report arena --open
      esper league report arena --out arena.html
    """  # noqa: D301
    from esper_league.report.page import NAME, write_report

    index, _ = load_installed(context)
    path = league / NAME if out is None else out
    with open_league(league) as opened:
        write_report(opened, index, path)
    size = path.stat().st_size
    with kept(f"The report is kept in {path}."):
        if as_json:
            print_json({"league": str(league), "report": str(path), "bytes": size})
        else:
            say(f"{path} ({size / 1024:,.0f} KiB)")
    if open_it:
        webbrowser.open(path.resolve().as_uri())
