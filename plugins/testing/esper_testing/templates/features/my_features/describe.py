"""The layout of the observation, without torch: plans show it and checkpoints record it before anything is built."""

from __future__ import annotations

from esper_core import ActionSpec, Feature, FeatureSchema, IndexField, SlotConfig, StateSpec
from my_features.config import MyFeaturesConfig


def describe(config: MyFeaturesConfig, slots: SlotConfig, actions: ActionSpec, state_spec: StateSpec) -> FeatureSchema:
    """Return the schema: its dimension, and the order of the columns, follow from these tables."""
    trend = f"{config.trend_scale:g} * (accuracy - accuracy_history[-1]), 0 at the start"
    return FeatureSchema(
        base=(
            Feature("progress", "epoch / epochs_total", 0.0, 1.0, "epoch, epochs_total"),
            Feature("accuracy", "accuracy", 0.0, 1.0, "accuracy"),
            Feature("trend", f"clamp({trend}, -1, 1)", -1.0, 1.0, "accuracy, accuracy_history"),
        ),
        per_slot=(
            Feature("alpha", "alpha", 0.0, 1.0, "alpha"),
            Feature(
                "contribution", "contribution where measured, else 0", -1.0, 1.0, "contribution, contribution_measured"
            ),
            Feature("measured", "contribution_measured", 0.0, 1.0, "contribution_measured"),
        ),
        num_slots=slots.num_slots,
        # A category is not a number: networks embed it. How many there are is the environment's to say.
        indices=(IndexField("blueprint", slots.num_slots, int(state_spec["blueprint"].high) + 1, per_slot=True),),
    )
