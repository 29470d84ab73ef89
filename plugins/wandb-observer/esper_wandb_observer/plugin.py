"""Registers the observer `wandb`. Importing this module imports neither torch nor wandb."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register `wandb`."""
    yield ComponentSpec(
        kind="observer",
        name="wandb",
        factory="esper_wandb_observer.observer:Wandb",
        config="esper_wandb_observer.config:WandbConfig",
        summary="every metric on Weights & Biases",
    )
