"""P1 to P3: nothing to decide, only values to learn."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from esper_core import ActionSpec, Head
from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment, floats
from esper_factored_ppo.probes.observing import values

ONE = ActionSpec((Head("op", ("ONLY",)),), root="op")


class Constant(ProbeEnvironment):
    """Every reward is 1, and there is nothing to observe."""

    actions, state_spec = ONE, floats("nothing")

    def observe(self) -> dict[str, Tensor]:
        """Return zeros."""
        return {"nothing": self.constant(0)}


class Telling(ProbeEnvironment):
    """The observation, −1 or 1, is the reward."""

    actions, state_spec = ONE, floats("pay")
    paid: Tensor

    def begin(self) -> dict[str, Tensor]:
        """Draw the reward."""
        return {"paid": 2.0 * self.draw(2) - 1}

    def observe(self) -> dict[str, Tensor]:
        """Return the drawn reward."""
        return {"pay": self.paid}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return the drawn reward."""
        return self.paid


class Late(ProbeEnvironment):
    """The last reward is 1, the others 0; the clock, from 0 to 1, is observed."""

    actions, state_spec = ONE, floats("clock")

    def observe(self) -> dict[str, Tensor]:
        """Return the clock."""
        return {"clock": self.t / self.horizon}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return 1 at the last step, else 0."""
        return self.t == self.horizon - 1


def value(trainer: Trainer) -> dict[str, float]:
    """Measure V where it is the same everywhere."""
    return {"V": float(values(trainer).mean())}


def value_of_pay(trainer: Trainer) -> dict[str, float]:
    """Measure V where 1 and where −1 is observed."""
    found, seen = values(trainer), trainer.rollout.steps().features.obs[..., 0]
    return {"V(1)": float(found[seen > 0].mean()), "V(-1)": float(found[seen < 0].mean())}


def values_in_time(trainer: Trainer) -> dict[str, float]:
    """Measure V at both steps of the episode."""
    found, clock = values(trainer), trainer.rollout.steps().features.obs[..., 0]
    return {"V(0)": float(found[clock == 0].mean()), "V(1)": float(found[clock > 0].mean())}
