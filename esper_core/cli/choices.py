"""The flags with which commands choose components, declared once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from esper_core.cli import completion
from esper_core.contracts.errors import UserError

COMPONENTS, RUN = "Components", "Run"
"""Panels of the help."""


def _component(kind: str) -> Any:
    return typer.Option(
        metavar="NAME",
        help=f"Shorthand for --use {kind}=NAME.",
        rich_help_panel=COMPONENTS,
        autocompletion=completion.components(kind),
    )


Policy = Annotated[
    str | None, typer.Option(help="Recipe of registry.toml, or a network.", autocompletion=completion.policies)
]
Environment = Annotated[str | None, _component("environment")]
Task = Annotated[str | None, _component("task")]
Host = Annotated[str | None, _component("host")]
Features = Annotated[str | None, _component("features")]
Network = Annotated[str | None, _component("network")]
Critic = Annotated[str | None, _component("critic")]
Masks = Annotated[str | None, _component("masks")]
Loss = Annotated[str | None, _component("loss")]
Uses = Annotated[
    list[str] | None,
    typer.Option("--use", metavar="KIND=NAME", help="Choose a component (repeatable).", rich_help_panel=COMPONENTS),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--option",
        metavar="KIND.KEY=VALUE",
        help="Set an option, as listed by `esper policy show` (repeatable).",
        rich_help_panel=COMPONENTS,
    ),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the run; 0.", rich_help_panel=RUN)]


def parse_uses(texts: Sequence[str] | None, **named: str | None) -> dict[str, str]:
    """Read `KIND=NAME` choices and join them with those of the shorthands; raises UserError."""
    uses = {kind: name for kind, name in named.items() if name is not None}
    for text in texts or ():
        kind, equals, name = text.partition("=")
        if not (equals and kind.strip() and name.strip()):
            raise UserError(f"--use {text} cannot be read.", hint="Write --use critic=state-value, for example.")
        if uses.setdefault(kind.strip(), name.strip()) != name.strip():
            raise UserError(f"The {kind} is chosen twice: '{uses[kind]}' and '{name.strip()}'.", hint="Keep one.")
    return uses
