"""An environment that costs nothing: random states, no hosts. What is left of an update is learning alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from esper_core.composition.plan import PlanDescription
from esper_testing.states import random_state

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

DISTINCT = 8


class Noise:
    """Kind `environment`: publishes a few random states in turn and pays random rewards for `horizon` steps."""

    def __init__(self, known: PlanDescription, num_envs: int, horizon: int, device: str) -> None:
        self.num_envs, self.horizon = num_envs, horizon
        self.actions, self.state_spec = known.actions, known.state_spec
        self._device = device
        self._generator = torch.Generator().manual_seed(0)
        self._states = [
            {
                name: value.to(device)
                for name, value in random_state(
                    known.state_spec, known.actions, num_envs, known.slots.num_slots, self._generator
                ).items()
            }
            for _ in range(DISTINCT)
        ]
        self._step = 0

    def state_at(self, step: int) -> State:
        """Return the state published after a number of steps."""
        return self._states[step % DISTINCT]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[State, dict[str, Any]]:
        """Start new episodes."""
        self._step = 0
        return self.state_at(0), {}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[State, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take one step; all episodes end at the horizon."""
        self._step += 1
        reward = torch.rand(self.num_envs, generator=self._generator).to(self._device)
        ended = torch.full((self.num_envs,), self._step >= self.horizon, device=self._device)
        return self.state_at(self._step), reward, ended, torch.zeros_like(ended), {"events": []}

    def close(self) -> None:
        """Nothing is held."""
