"""Registers the features `obs-v3` and `obs-slots`. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl
from esper_obs_v3.schema import READS, SLOTS_READ


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the feature extractors."""
    yield ComponentSpec(
        kind="features",
        name="obs-v3",
        factory="esper_obs_v3.features:ObsV3",
        config="esper_obs_v3.config:ObsV3Config",
        describe="esper_obs_v3.schema:describe",
        summary="31 base features with action feedback, 30 per slot, blueprints as indices",
        reads=READS,
    )
    yield ComponentSpec(
        kind="features",
        name="obs-slots",
        factory="esper_obs_v3.features:ObsSlots",
        config="esper_obs_v3.config:ObsSlotsConfig",
        describe="esper_obs_v3.schema:describe",
        summary="`obs-v3` for any number of slots: where each slot is and how wide, neighbours' alpha as a share",
        provides=("features:any-slots",),
        reads=(*READS, *SLOTS_READ),
    )
