"""P13: what is planted early is rewarded at the end, decoys a little at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core import ActionSpec, Head, StateField, StateSpec
from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment

GARDEN = ActionSpec((Head("op", ("WAIT", "GERMINATE", "WATER", "WEED")),), root="op")
GERMINATE, FIRST_DECOY = 1, 2
SPRING_BEFORE, DECOY_PAY = 20, 0.1


class Garden(ProbeEnvironment):
    """One of the first 20 steps is spring: GERMINATE then earns 1 at the last step, a decoy 0.1 at once.

    The best return is 1, that of a greedy policy 0.1.
    """

    spring: Tensor
    planted: Tensor
    actions = GARDEN
    state_spec = StateSpec(
        (
            StateField("spring", ("E",), "bool", "", "the step at which operations count"),
            StateField("planted", ("E",), "bool", "", "a seed grows"),
            StateField("clock", ("E",), "float", "episodes", "time since the start"),
        )
    )

    def begin(self) -> dict[str, Tensor]:
        """Draw the spring."""
        return {"spring": self.draw(SPRING_BEFORE), "planted": torch.zeros(self.num_envs, dtype=torch.bool)}

    def observe(self) -> dict[str, Tensor]:
        """Return spring, seed and clock."""
        return {"spring": self.spring == self.t, "planted": self.planted, "clock": self.t / self.horizon}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Plant, reward the decoy, or harvest."""
        op, spring = actions["op"], self.spring == self.t
        self.planted = self.planted | (spring & (op == GERMINATE))
        harvest = self.planted & (self.t == self.horizon - 1)
        return harvest + DECOY_PAY * (spring & (op >= FIRST_DECOY))


def mean_return(trainer: Trainer) -> dict[str, float]:
    """Measure the undiscounted return of the last episodes."""
    assert isinstance(trainer.environment, Garden)
    return {"return": float(trainer.environment.returns.mean())}
