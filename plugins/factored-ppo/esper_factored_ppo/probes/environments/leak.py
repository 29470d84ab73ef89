"""P11: an episode asks for the cue of the previous one, which a policy that is reset cannot know."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment, floats
from esper_factored_ppo.probes.environments.bandit import TWO


class CueBefore(ProbeEnvironment):
    """The first step rewards the cue of the previous episode; that of this one is observed afterwards.

    Attributes:
        successes: Share of right answers, one number per episode played.
    """

    actions, state_spec = TWO, floats("cue")
    asked: Tensor

    def __init__(self, num_envs: int, horizon: int) -> None:
        super().__init__(num_envs, horizon)
        self.cue, self.successes = self.draw(2), list[float]()

    def begin(self) -> dict[str, Tensor]:
        """Keep the cue and draw the next."""
        return {"asked": self.cue, "cue": self.draw(2)}

    def observe(self) -> dict[str, Tensor]:
        """Return the cue, but not at the first step."""
        return {"cue": (2.0 * self.cue - 1) * (self.t > 0)}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return 1 for the right answer at the first step."""
        right, asked = actions["op"] == self.asked, self.t == 0
        if asked.any():
            self.successes.append(float(right[asked].float().mean()))
        return right & asked


def success(trainer: Trainer) -> dict[str, float]:
    """Measure the share of right answers in the second half of the training."""
    environment = trainer.environment
    assert isinstance(environment, CueBefore)
    later = environment.successes[len(environment.successes) // 2 :]
    return {"success": float(torch.tensor(later).mean())}
