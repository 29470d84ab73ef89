"""`esper report`: one HTML page about a run. Torch is not imported."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from esper_core.cli import completion
from esper_core.cli.output import kept, print_json, say
from esper_core.runs.brought import to_write
from esper_core.runs.directory import find_run
from esper_evaluation import reporting


def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A path, or the beginning of a name.", autocompletion=completion.runs)
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it; report.html of the run without it.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Directory of runs.")] = Path("runs"),
    open_it: Annotated[
        bool, typer.Option("--open/--no-open", help="Show it in the browser when it is written.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write one HTML page about a run, also one that is still running or was stopped.

    The page holds all it needs: it opens from disk, without a network, and runs no script.
    """
    directory = find_run(run, runs)
    if out is None:
        directory = to_write(directory, runs)
    path = reporting.report(directory, out)
    size = path.stat().st_size
    with kept(f"The report is kept in {path}."):
        if as_json:
            print_json({"run": str(directory.shown()), "report": str(path), "bytes": size})
        else:
            say(f"{path} ({size / 1024:,.0f} KiB)")
    if open_it:
        webbrowser.open(path.resolve().as_uri())
