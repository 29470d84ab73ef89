"""P6: a chain of steps that each pay 1, cut off while it goes on, or ended for good."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment, floats
from esper_factored_ppo.probes.environments.value import ONE
from esper_factored_ppo.probes.observing import deviation, values


class Endless(ProbeEnvironment):
    """It goes on for ever, and every step looks the same; the horizon only cuts it off."""

    actions, state_spec, truncates = ONE, floats("nothing"), True

    def observe(self) -> dict[str, Tensor]:
        """Return ones."""
        return {"nothing": self.constant(1)}

    def pay(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return ones."""
        return self.constant(1)


class Finite(ProbeEnvironment):
    """It ends with the horizon, and the clock is seen."""

    actions, state_spec = ONE, floats("clock")

    def observe(self) -> dict[str, Tensor]:
        """Return the clock, from −1 to 1."""
        return {"clock": self.constant(2 * self.t / self.horizon - 1)}

    def pay(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return ones."""
        return self.constant(1)


def value_everywhere(trainer: Trainer) -> dict[str, float]:
    """Measure V, the mean over all steps."""
    return {"V": float(values(trainer).mean())}


def distance_to_formula(trainer: Trainer) -> dict[str, float]:
    """Measure how far V is from (1 − γ^(T − t)) / (1 − γ), at the worst step."""
    gamma, left = trainer.config.gamma, torch.arange(trainer.rollout.horizon, 0, -1)
    return {"largest error of V": deviation(values(trainer), (1 - gamma**left) / (1 - gamma))}
