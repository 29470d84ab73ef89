"""`esper cache`: what is kept so that it is not computed again. Torch is not imported."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from esper_core.cli import choices
from esper_core.cli.output import print_json, print_table, say
from esper_core.contracts.errors import UserError, did_you_mean
from esper_core.system.cache import cache_directory, caches


def show(as_json: choices.AsJson = False) -> None:
    """Show where the cache lies and how much each part holds."""
    found = {cache.name: cache.files() for cache in caches()}
    sizes = {name: sum(f.lstat().st_size for f in files if os.path.lexists(f)) for name, files in found.items()}
    if as_json:
        entries = [{"name": name, "files": len(files), "bytes": sizes[name]} for name, files in found.items()]
        print_json({"directory": str(cache_directory()), "caches": entries})
        return
    say(f"{cache_directory()} (ESPER_CACHE changes it)", "" if found else "It holds nothing.")
    rows = [(name, len(files), f"{sizes[name] / 1024:.0f}") for name, files in found.items()]
    if rows:
        print_table(("cache", "files", "KiB"), rows)


def clear(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Caches; all without.")] = None,
    as_json: choices.AsJson = False,
) -> None:
    """Delete what is kept; it is made again when it is needed. Only folders that esper made are touched."""
    known = {cache.name: cache for cache in caches()}
    for name in names or ():
        if name not in known:
            raise UserError(
                f"There is no cache '{name}' in {cache_directory()}.{did_you_mean(name, known)}",
                hint=f"It holds: {', '.join(known) or 'nothing'}.",
            )
    cleared = {name: known[name].clear() for name in dict.fromkeys(names or known)}
    if as_json:
        print_json({"directory": str(cache_directory()), "cleared": cleared})
    else:
        files = sum(cleared.values())
        say(f"{files} file{'s' * (files != 1)} deleted{': ' * bool(cleared)}{', '.join(cleared)}.")
