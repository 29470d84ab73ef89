"""Registers the observer `my-observer`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the observer."""
    yield ComponentSpec(
        kind="observer",
        name="my-observer",
        factory="my_observer.observer:MyObserver",
        config="my_observer.config:MyObserverConfig",
        summary="writes some metrics as a table for spreadsheets",
    )
