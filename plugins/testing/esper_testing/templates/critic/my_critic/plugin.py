"""Registers the critic `my-critic`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the critic."""
    yield ComponentSpec(
        kind="critic",
        name="my-critic",
        factory="my_critic.critic:MyCritic",
        config="my_critic.config:MyCriticConfig",
        summary="V(s) from one hidden layer",
    )
