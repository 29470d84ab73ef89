"""Registers the workload `my-workload`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the workload."""
    yield ComponentSpec(
        kind="workload",
        name="my-workload",
        factory="my_workload.workload:MyWorkload",
        config="my_workload.config:MyWorkloadConfig",
        summary="lstm-v1 trains four small hosts",
    )
