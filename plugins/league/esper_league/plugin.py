"""Registers the commands of the league. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import CommandSpec, hookimpl

COMMANDS = (
    ("create", "create", "Begin a league in a directory."),
    ("add", "add", "Add a trained policy or a rule to a league."),
    ("rate", "rate", "Close a rating period: rate everybody by the matches since the last."),
    ("table", "table", "Show who plays in a league, the strongest first."),
    ("show", "show", "Show one entry of a league: its ratings, its matches and what became of it."),
    ("promote", "promote", "Make commanders of the best candidates."),
    ("retire", "retire", "Retire commanders that are no longer among the best."),
    ("reinstate", "reinstate", "Bring a retired entry back."),
)


@hookimpl
def esper_commands() -> Iterator[CommandSpec]:
    """Register the group of commands."""
    yield CommandSpec(name="league", summary="A league of policies: play, rate, promote, retire.")
    for word, function, summary in COMMANDS:
        yield CommandSpec(name=f"league {word}", app=f"esper_league.commands.{word}:{function}", summary=summary)
