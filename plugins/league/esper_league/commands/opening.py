"""What all commands of a league share: the argument that names it, and opening it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from esper_core.cli.output import warn
from esper_league.entry import LeagueEntry
from esper_league.league import League

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the league.")]
EntryName = Annotated[str, typer.Argument(metavar="ENTRY", help="A name, an id, or the beginning of one.")]


def open_league(path: Path) -> League:
    """Open a league; waiting for another process is said on standard error. Raises as `League.open`."""
    return League.open(path, on_wait=warn)


def document(entry: LeagueEntry) -> dict[str, Any]:
    """Return an entry as JSON."""
    rating = entry.rating
    return {
        "id": entry.id,
        "name": entry.name,
        "kind": entry.kind,
        "rating": rating.rating,
        "rd": rating.rd,
        "vol": rating.vol,
        "conservative": rating.conservative,
        "games": entry.games,
        "created_at": entry.created_at,
        "retired_at": entry.retired_at,
        "source": entry.source,
        "meta": dict(entry.meta),
    }


def counted(matches: int) -> str:
    """Return how many matches these are, in words."""
    return f"{matches} match{'es' * (matches != 1)}"


def rated(entry: LeagueEntry) -> str:
    """Return a rating for people: points, and two deviations."""
    return f"{entry.rating.rating:.0f} ± {2 * entry.rating.rd:.0f}"
