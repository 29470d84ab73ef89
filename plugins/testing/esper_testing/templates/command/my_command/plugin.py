"""Registers the command `my-command`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import CommandSpec, hookimpl


@hookimpl
def esper_commands() -> Iterator[CommandSpec]:
    """Register the command."""
    yield CommandSpec(
        name="my-command", app="my_command.command:my_command", summary="Count the installed components of each kind."
    )
