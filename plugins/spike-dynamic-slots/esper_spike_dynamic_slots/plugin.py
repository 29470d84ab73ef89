"""Registers the spike `dynamic-slots`. Importing this module imports no torch and no pytest."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the spike."""
    yield ComponentSpec(
        kind="spike",
        name="dynamic-slots",
        factory="esper_spike_dynamic_slots.spike:DynamicSlots",
        config="esper_spike_dynamic_slots.config:DynamicSlotsConfig",
        summary="does a policy work with any number of slots?",
    )
