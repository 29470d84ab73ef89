"""Registers what authors of plugins test with. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import CommandSpec, KindSpec, hookimpl


@hookimpl
def esper_kinds() -> Iterator[KindSpec]:
    """Declare what this distribution works with."""
    yield KindSpec(
        name="spike",
        protocol="esper_testing.spikes.protocol:Spike",
        conformance="esper_testing.conformance.spike:SUITE",
        template="esper_testing.templates:spike",
        summary="answers a question about a plan with a verdict",
        planned=False,
    )


@hookimpl
def esper_commands() -> Iterator[CommandSpec]:
    """Register the commands."""
    for name, app, summary in (
        ("plugins check", "check:check_plugin", "Run every conformance check on a plugin's components."),
        ("plugins new", "new:new_plugin", "Write a new plugin: a distribution that works."),
        ("spike", "", "Ask what an architecture can do."),
        ("spike list", "spike:list_spikes", "List the installed spikes."),
        ("spike run", "spike:run_spike", "Run a spike on a policy; exit with 5 when its verdict is RED."),
        ("matrix", "matrix:matrix", "Combine components: predict, build, train for one update, compare."),
    ):
        yield CommandSpec(name=name, app=f"esper_testing.commands.{app}" if app else "", summary=summary)
