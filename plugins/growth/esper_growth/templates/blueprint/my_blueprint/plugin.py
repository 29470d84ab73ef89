"""Registers the blueprint `my-blueprint`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the blueprint."""
    yield ComponentSpec(
        kind="blueprint",
        name="my-blueprint",
        factory="my_blueprint.blueprint:MyBlueprint",
        config="my_blueprint.config:MyBlueprintConfig",
        summary="3×3 convolution that skips pixels, norm, ReLU",
    )
