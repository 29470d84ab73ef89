"""Registers the loss. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register `factored-ppo`."""
    yield ComponentSpec(
        kind="loss",
        name="factored-ppo",
        factory="esper_factored_ppo.loss:FactoredPpo",
        config="esper_factored_ppo.config:FactoredPpoConfig",
        summary="clipped surrogate per head, over the steps at which the head mattered",
    )
