"""Registers the commands of the league. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import CommandSpec, ComponentSpec, KindSpec, hookimpl

COMMANDS = (
    ("create", "create", "Begin a league in a directory."),
    ("add", "add", "Add a trained policy or a rule to a league."),
    ("play", "play", "Play matches between the entries of a league."),
    ("rate", "rate", "Close a rating period: rate everybody by the matches since the last."),
    ("table", "table", "Show who plays in a league, the strongest first."),
    ("show", "show", "Show one entry of a league: its ratings, its matches and what became of it."),
    ("promote", "promote", "Make commanders of the best candidates."),
    ("retire", "retire", "Retire commanders that are no longer among the best."),
    ("reinstate", "reinstate", "Bring a retired entry back."),
    ("report", "report", "Write one HTML page about a league."),
)


FLAGS = {
    "opponents": "dir",
    "matchmaking": "matchmaking",
    "candidate-every": "candidate_every",
    "self-play": "self_play",
}
"""Flags of `esper train`, each with the option of the league's opponents that it stands for."""


@hookimpl
def esper_kinds() -> Iterator[KindSpec]:
    """Declare what plays the other side while a policy is trained."""
    yield KindSpec(
        name="opponents",
        protocol="esper_core.contracts.sides:Opponents",
        conformance="esper_league.conformance:SUITE",
        template="esper_league.templates:opponents",
        summary="whom a learner plays against, chosen before every rollout",
        flags=FLAGS,
    )


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the entries of a league as opponents."""
    yield ComponentSpec(
        kind="opponents",
        name="league",
        factory="esper_league.opponents:LeagueOpponents",
        config="esper_league.config:LeagueConfig",
        metrics="esper_league.metrics:METRICS",
        example="esper_league.example:example",
        summary="the entries of a league, and the learner itself",
    )


@hookimpl
def esper_commands() -> Iterator[CommandSpec]:
    """Register the group of commands."""
    yield CommandSpec(name="league", summary="A league of policies: play, rate, promote, retire.")
    for word, function, summary in COMMANDS:
        yield CommandSpec(name=f"league {word}", app=f"esper_league.commands.{word}:{function}", summary=summary)
