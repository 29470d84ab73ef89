"""Registers the features `my-features`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the features."""
    yield ComponentSpec(
        kind="features",
        name="my-features",
        factory="my_features.features:MyFeatures",
        config="my_features.config:MyFeaturesConfig",
        describe="my_features.describe:describe",
        summary="time, accuracy and its trend; strength, contribution and blueprint of every slot",
        # Fields of the environment's state. An environment that does not publish them is refused before anything runs.
        reads=(
            "epoch",
            "epochs_total",
            "accuracy",
            "accuracy_history",
            "alpha",
            "contribution",
            "contribution_measured",
            "blueprint",
        ),
    )
