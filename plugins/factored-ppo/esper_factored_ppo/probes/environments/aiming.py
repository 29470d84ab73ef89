"""P15, P16: numbers, of which the best are known."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core import ActionSpec, ContinuousHead, Head
from esper_core.learning.trainer import Trainer
from esper_core.policy.executed import executed
from esper_factored_ppo.probes.environment import ProbeEnvironment, floats
from esper_factored_ppo.probes.observing import evaluate, op_probs

AIM = ContinuousHead("aim", ("x", "y"), low=(-2, 0), high=(2, 1), ops=("AIM",))
ALWAYS = ActionSpec((Head("op", ("AIM",)), AIM), root="op")
OPTIONAL = ActionSpec((Head("op", ("WAIT", "AIM")), AIM), root="op")
WAITING_PAYS = 0.3


class Target(ProbeEnvironment):
    """The target (x, ¼ + x²/2), where x from −1 to 1 is observed, has reward 0; a miss costs the squared distance."""

    actions, state_spec = ALWAYS, floats("x")
    x: Tensor

    def begin(self) -> dict[str, Tensor]:
        """Draw the target."""
        return {"x": 2 * torch.rand(self.num_envs, generator=self.generator) - 1}

    def observe(self) -> dict[str, Tensor]:
        """Return where the target is."""
        return {"x": self.x}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return minus the squared distance."""
        return -(actions["aim"] - target(self.x)).square().sum(-1)


class Choice(Target):
    """AIM has reward 1 less the squared distance, WAIT 0.3, and the numbers matter to AIM alone.

    At first AIM is worth less than WAIT, because it misses.
    """

    actions = OPTIONAL

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return what was earned by aiming or waiting."""
        return torch.where(actions["op"] == 1, 1 + super().reward(actions), WAITING_PAYS)


def target(x: Tensor) -> Tensor:
    """Return the target `[..., 2]`."""
    return torch.stack([x, 0.25 + 0.5 * x.square()], dim=-1)


def miss(trainer: Trainer) -> dict[str, float]:
    """Measure how far off the means of the numbers are, as the environment gets them: root of the mean square."""
    seen, found = trainer.rollout.steps().features.obs[..., 0], evaluate(trainer).distribution
    means = executed(found.actions, {"aim": found.gaussian("aim").mean})["aim"]
    return {"miss": float((means - target(seen)).square().sum(-1).mean().sqrt())}


def aiming_and_miss(trainer: Trainer) -> dict[str, float]:
    """Measure the probability of AIM, and how far off its numbers are."""
    return {"π(AIM)": float(op_probs(trainer)[..., 1].mean()), **miss(trainer)}
