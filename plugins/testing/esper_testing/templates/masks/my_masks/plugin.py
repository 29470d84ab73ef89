"""Registers the masks `my-masks`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl
from esper_growth.plugin import LIFECYCLE_READS


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the masks."""
    yield ComponentSpec(
        kind="masks",
        name="my-masks",
        factory="my_masks.masks:MyMasks",
        config="my_masks.config:MyMasksConfig",
        summary="what the stage of each slot allows, with few seeds growing at a time",
        # Fields of the environment's state. An environment that does not publish them is refused before anything runs.
        reads=LIFECYCLE_READS,
    )
