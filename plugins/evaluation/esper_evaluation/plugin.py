"""Registers what says what a policy is worth. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import CommandSpec, ComponentSpec, KindSpec, hookimpl


@hookimpl
def esper_kinds() -> Iterator[KindSpec]:
    """Declare what this distribution works with."""
    yield KindSpec(
        name="rule",
        protocol="esper_core.contracts.protocols:Rule",
        conformance="esper_evaluation.conformance.rule:SUITE",
        template="esper_evaluation.templates:rule",
        summary="a policy without parameters",
        planned=False,
    )


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the rules that play anywhere."""
    for name, factory, summary in (
        ("static", "Static", "always the neutral action, such as WAIT of growth: the host as it is"),
        ("random", "Random", "uniform over what is legal"),
    ):
        yield ComponentSpec(kind="rule", name=name, factory=f"esper_evaluation.rules:{factory}", summary=summary)


@hookimpl
def esper_commands() -> Iterator[CommandSpec]:
    """Register the commands."""
    for name, app, summary in (
        ("evaluate", "evaluate:evaluate", "Compare a trained policy with rules and schedules."),
        ("variance", "variance:variance", "Tell luck from instances: a policy plays the same ones again and again."),
        ("report", "report:report", "Write one HTML page about a run."),
        ("export", "export:export", "Let a trained policy grow one network, and write it to files."),
        ("runs compare", "compare:compare_runs", "Compare runs side by side: plans and results."),
    ):
        yield CommandSpec(name=name, app=f"esper_evaluation.commands.{app}" if app else "", summary=summary)
