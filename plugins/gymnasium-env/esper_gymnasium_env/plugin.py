"""Registers the environment and its masks. Importing this module imports neither torch nor gymnasium."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register `gymnasium`: the environment, its masks and its features."""
    yield ComponentSpec(
        kind="environment",
        name="gymnasium",
        factory="esper_gymnasium_env.environment:GymnasiumEnvironment",
        config="esper_gymnasium_env.config:GymnasiumConfig",
        describe="esper_gymnasium_env.describe:describe",
        metrics="esper_gymnasium_env.metrics:METRICS",
        summary="any Gymnasium environment, of choices and of numbers",
        defaults={"masks": "gymnasium", "features": "gymnasium"},
        only_by_name=True,
    )
    yield ComponentSpec(
        kind="masks",
        name="gymnasium",
        factory="esper_gymnasium_env.masks:GymnasiumMasks",
        summary="action masks that a Gymnasium environment gives",
        reads=("action_mask",),
        only_by_name=True,
    )
    yield ComponentSpec(
        kind="features",
        name="gymnasium",
        factory="esper_gymnasium_env.features:GymnasiumFeatures",
        describe="esper_gymnasium_env.describe:describe_features",
        summary="what a Gymnasium environment shows, without its mask",
        reads=("observation",),
        only_by_name=True,
    )
