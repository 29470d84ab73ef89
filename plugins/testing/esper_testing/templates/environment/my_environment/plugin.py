"""Registers `my-environment` and its masks. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the environment and the masks that belong to it."""
    yield ComponentSpec(
        kind="environment",
        name="my-environment",
        factory="my_environment.environment:MyEnvironment",
        config="my_environment.config:MyEnvironmentConfig",
        describe="my_environment.describe:describe",
        summary="machines wear out; repair them in time, but not too often",
        defaults={"masks": "my-environment"},
    )
    yield ComponentSpec(
        kind="masks",
        name="my-environment",
        factory="my_environment.masks:MyEnvironmentMasks",
        summary="a machine can be repaired once it is worn",
        reads=("worn",),
    )
