"""The features `my-features`: a state becomes `obs [E, D]` and `indices [E, N]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Features
from my_features.config import MyFeaturesConfig
from my_features.describe import describe

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


class MyFeatures:
    """Kind `features` for environments of growing hosts."""

    def __init__(self, config: MyFeaturesConfig, context: BuildContext) -> None:
        self.schema = describe(config, context.slots, context.actions, context.state_spec)
        self._trend_scale, self._dtype = config.trend_scale, context.dtype

    def __call__(self, state: State) -> Features:
        """Map a state of `[E, ...]` tensors to `obs [E, D]`; slot i's block follows that of slot i − 1."""
        values = self._base(state) | self._per_slot(state)
        # Columns are put in the schema's order by name, so that the two cannot drift apart.
        base = torch.stack([values[feature.name].to(self._dtype) for feature in self.schema.base], dim=-1)
        slots = torch.stack([values[feature.name].to(self._dtype) for feature in self.schema.per_slot], dim=-1)
        return Features(torch.cat([base, slots.flatten(1)], dim=-1), {"blueprint": state["blueprint"]})

    def _base(self, state: State) -> dict[str, Tensor]:
        """Return what there is once per environment, `[E]` each."""
        accuracy, before = state["accuracy"], state["accuracy_history"][:, -1]
        change = torch.where(before < 0, 0.0, accuracy - before)  # -1 stands for "there was none"
        return {
            "progress": state["epoch"].to(self._dtype) / state["epochs_total"],
            "accuracy": accuracy,
            "trend": (self._trend_scale * change).clamp(-1.0, 1.0),
        }

    def _per_slot(self, state: State) -> dict[str, Tensor]:
        """Return what there is once per slot, `[E, N]` each; every number is 0 where a slot is empty."""
        measured = state["contribution_measured"]
        return {
            "alpha": state["alpha"],
            "contribution": torch.where(measured, state["contribution"], 0.0).clamp(-1.0, 1.0),
            "measured": measured,
        }
