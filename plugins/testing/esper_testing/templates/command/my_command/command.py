"""`esper my-command`: how many components of each kind are installed."""

from __future__ import annotations

from typing import Annotated

import typer

from esper_core.cli.installed import load_installed
from esper_core.cli.output import print_json, print_table
from esper_core.registry.resolve import check_kind


def my_command(
    context: typer.Context,
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="Count this kind alone, such as network.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count the installed components of each kind."""
    index, _ = load_installed(context)
    kinds = sorted(index.kinds) if kind is None else [check_kind(index, kind)]
    counts = {name: len(index.of_kind(name)) for name in kinds}
    if as_json:
        print_json(counts)
    else:
        print_table(("kind", "components"), [(name, str(count)) for name, count in counts.items()])
