"""P6: a chain of steps with reward 1 each, either truncated or terminated."""

from __future__ import annotations

from torch import Tensor

from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment, floats
from esper_factored_ppo.probes.environments.value import ONE
from esper_factored_ppo.probes.observing import deviation, values


class Endless(ProbeEnvironment):
    """Every step looks the same, and the horizon truncates."""

    actions, state_spec, truncates = ONE, floats("nothing"), True


class Finite(ProbeEnvironment):
    """It terminates at the horizon, and the clock is observed."""

    actions, state_spec = ONE, floats("clock")

    def observe(self) -> dict[str, Tensor]:
        """Return the clock, from −1 to 1."""
        return {"clock": 2 * self.t / self.horizon - 1}


def distance_to_formula(trainer: Trainer) -> dict[str, float]:
    """Measure how far V is from (1 − γ^(T − t)) / (1 − γ), at the worst step."""
    clock = trainer.rollout.steps().features.obs[..., 0]
    gamma, left = trainer.config.gamma, ((1 - clock) / 2 * trainer.environment.horizon).round()
    return {"largest error of V": deviation(values(trainer), (1 - gamma**left) / (1 - gamma))}
