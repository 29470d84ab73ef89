"""Registers the loss `my-loss`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the loss."""
    yield ComponentSpec(
        kind="loss",
        name="my-loss",
        factory="my_loss.loss:MyLoss",
        config="my_loss.config:MyLossConfig",
        summary="PPO with one clipped ratio of the joint action",
    )
