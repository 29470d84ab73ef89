"""Registers the opponents `my-opponents`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the opponents."""
    yield ComponentSpec(
        kind="opponents",
        name="my-opponents",
        factory="my_opponents.opponents:MyOpponents",
        config="my_opponents.config:MyOpponentsConfig",
        metrics="my_opponents.metrics:METRICS",
        summary="the learner itself, as it was when the update began",
    )
