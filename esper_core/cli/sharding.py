"""The flags of commands whose work can be shared out among machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esper_core.contracts.errors import UserError
from esper_core.runs.shards import Share

PANEL = "Many machines"

Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do this share alone, such as 3/8, and keep it for --merge.",
        rich_help_panel=PANEL,
    ),
]
Merge = Annotated[
    bool, typer.Option("--merge", help="Put together what all shards have brought.", rich_help_panel=PANEL)
]
Folder = Annotated[Path, typer.Option("--shards", metavar="FOLDER", help="Where shards lie.", rich_help_panel=PANEL)]


def parse_share(shard: str | None, merge: bool) -> Share | None:
    """Return what --shard asks for; None without it; raises UserError, also where --merge is asked for too."""
    if shard is None:
        return None
    if merge:
        raise UserError("--shard and --merge do not go together.", hint="Do every share first, and merge them then.")
    return Share.parse(shard)
