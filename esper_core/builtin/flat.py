"""Features `flat`: the published state, flattened. It fits any environment and assumes nothing about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from esper_core.builtin.config import FlatConfig
from esper_core.builtin.describe import describe, is_per_slot, scale_of
from esper_core.contracts.protocols import BuildContext, Features
from esper_core.contracts.state import StateField

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


class Flat:
    """Concatenates every state field as floats: `obs [E, D]`, the base fields first, then one block per slot.

    Indices such as stages become plain numbers, so a network learns faster from features made for the environment.
    """

    def __init__(self, config: FlatConfig, context: BuildContext) -> None:
        self.schema = describe(config, context.slots, context.actions, context.state_spec)
        self._config, self._dtype = config, context.dtype
        self._base = [entry for entry in context.state_spec.fields if not is_per_slot(entry)]
        self._slots = [entry for entry in context.state_spec.fields if is_per_slot(entry)]

    def __call__(self, state: State) -> Features:
        """Map a state of `[E, ...]` tensors to `obs [E, D]`."""
        blocks = [self._read(state, entry).flatten(1) for entry in self._base]
        if self._slots:  # each as `[E, N, width]`
            slots = [value.reshape(*value.shape[:2], -1) for value in (self._read(state, s) for s in self._slots)]
            blocks.append(torch.cat(slots, dim=2).flatten(1))
        return Features(torch.cat(blocks, dim=1), {})

    def _read(self, state: State, entry: StateField) -> Tensor:
        """Return a field as floats `[E, ...]`, at least two axes, scaled when asked for."""
        value = state[entry.name].to(self._dtype)
        if self._config.scale and entry.dtype != "bool":
            value = ((value - entry.low) / scale_of(entry)).clamp(0.0, 1.0)
        return value.unsqueeze(-1) if value.dim() == 1 else value
