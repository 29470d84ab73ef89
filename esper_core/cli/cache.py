"""`esper cache`: what was kept because it is expensive to make. Torch is not imported."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from esper_core.cli.output import print_json, print_table, say
from esper_core.contracts.cache import TAG_FILE, cache_directory, cache_folders
from esper_core.contracts.errors import EsperError, UserError, did_you_mean

app = typer.Typer(help="See and clear what is kept because it is expensive to make.", no_args_is_help=True)


@app.command("show")
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show where the cache lies and how much each part holds."""
    found = {folder.name: _files(folder) for folder in cache_folders()}
    sizes = {name: sum(file.stat().st_size for file in files) for name, files in found.items()}
    if as_json:
        caches = [{"name": name, "files": len(files), "bytes": sizes[name]} for name, files in found.items()]
        print_json({"directory": str(cache_directory()), "caches": caches})
        return
    say(f"{cache_directory()} (ESPER_CACHE changes it)")
    if found:
        say()
        rows = [(name, len(files), f"{sizes[name] / 1024:.0f}") for name, files in found.items()]
        print_table(("cache", "files", "KiB"), rows)
    else:
        say("It holds nothing.")


@app.command("clear")
def clear(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Caches; all without.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Delete what is kept; it is made again when it is needed. Nothing that esper did not make is touched."""
    known = {folder.name: folder for folder in cache_folders()}
    for name in names or ():
        if name not in known:
            raise UserError(
                f"There is no cache '{name}' in {cache_directory()}.{did_you_mean(name, known)}",
                hint=f"It holds: {', '.join(known) or 'nothing'}.",
            )
    cleared = {name: len(_files(known[name])) for name in dict.fromkeys(names or known)}
    for name in cleared:
        try:
            shutil.rmtree(known[name])
        except OSError as error:
            raise EsperError(
                f"The cache {known[name]} cannot be deleted: {error.strerror or error}.",
                hint="End the runs that use it, or look at its permissions.",
            ) from error
    if as_json:
        print_json({"directory": str(cache_directory()), "cleared": cleared})
    else:
        files = sum(cleared.values())
        say(f"{files} file{'s' * (files != 1)} deleted{': ' * bool(cleared)}{', '.join(cleared)}.")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != TAG_FILE]
