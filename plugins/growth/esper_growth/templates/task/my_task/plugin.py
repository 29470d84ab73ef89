"""Registers the task `my-task`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the task."""
    yield ComponentSpec(
        kind="task",
        name="my-task",
        factory="my_task.task:my_task",
        config="my_task.config:MyTaskConfig",
        summary="8×8 images of stripes: which way do they run?",
    )
