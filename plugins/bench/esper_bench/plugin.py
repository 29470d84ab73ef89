"""Registers what measures speed. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import CommandSpec, KindSpec, hookimpl


@hookimpl
def esper_kinds() -> Iterator[KindSpec]:
    """Declare what this distribution works with."""
    yield KindSpec(
        name="workload",
        protocol="esper_bench.workload:Workload",
        conformance="esper_bench.conformance:SUITE",
        template="esper_bench.templates:workload",
        summary="what `esper bench` measures speed on",
        planned=False,
    )


@hookimpl
def esper_commands() -> Iterator[CommandSpec]:
    """Register the commands."""
    yield CommandSpec(name="bench", app="esper_bench.command:bench", summary="Measure the speed of a workload.")
