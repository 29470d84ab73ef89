"""Registers the spike `my-spike`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the spike."""
    yield ComponentSpec(
        kind="spike",
        name="my-spike",
        factory="my_spike.spike:MySpike",
        config="my_spike.config:MySpikeConfig",
        summary="does an untrained policy begin undecided?",
    )
