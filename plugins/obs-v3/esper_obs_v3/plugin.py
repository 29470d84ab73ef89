"""Registers the features `obs-v3`. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl
from esper_obs_v3.schema import READS


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the feature extractor."""
    yield ComponentSpec(
        kind="features",
        name="obs-v3",
        factory="esper_obs_v3.features:ObsV3",
        config="esper_obs_v3.config:ObsV3Config",
        describe="esper_obs_v3.schema:describe",
        summary="31 base features with action feedback, 30 per slot, blueprints as indices",
        reads=READS,
    )
