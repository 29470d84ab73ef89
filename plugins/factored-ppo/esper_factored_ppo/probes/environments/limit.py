"""P14: a time limit cuts episodes off in the middle of a rollout, where most of their worth is still to come."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core import StateField, StateSpec
from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment
from esper_factored_ppo.probes.environments.value import ONE
from esper_factored_ppo.probes.observing import values

CLIMB = 0.5


class Ridge(ProbeEnvironment):
    """Episodes begin in the valley, every step of which leads up with probability ½; a step on the ridge has reward 1.

    The time limit is none of this: what it cuts off goes on for ever. So V is 1 / (1 − γ) on the ridge, and in the
    valley γ/2 / (1 − γ/2) of it. Bootstrapped from nothing, or from the valley where the next episode begins, both are
    less.
    """

    actions, truncates = ONE, True
    state_spec = StateSpec((StateField("ridge", ("E",), "bool", "", "the ridge was reached"),))
    ridge: Tensor

    def begin(self) -> dict[str, Tensor]:
        """Go down into the valley."""
        return {"ridge": torch.zeros(self.num_envs, dtype=torch.bool)}

    def observe(self) -> dict[str, Tensor]:
        """Return who is on the ridge."""
        return {"ridge": self.ridge}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return 1 on the ridge, and climb."""
        earned = self.ridge
        self.ridge = earned | (torch.rand(self.num_envs, generator=self.generator) < CLIMB)
        return earned


def values_of_places(trainer: Trainer) -> dict[str, float]:
    """Measure V in the valley and on the ridge."""
    found, ridge = values(trainer), trainer.rollout.steps().features.obs[..., 0] > 0.5
    return {"V(valley)": float(found[~ridge].mean()), "V(ridge)": float(found[ridge].mean())}
