"""P4, P5, P7, P8: bandits with one decision."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core import ActionSpec, Head
from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment, floats
from esper_factored_ppo.probes.observing import evaluate, op_probs, prob_of, values

TWO = ActionSpec((Head("op", ("NO", "YES")),), root="op")
SIX = ActionSpec(
    (
        Head("op", ("WAIT", "B", "C", "D", "E", "BEST")),
        Head("slot", ("x", "y"), ops=("B", "C", "BEST")),
        Head("how", ("p", "q", "r", "s", "t"), ops=("C", "BEST")),
    ),
    root="op",
    slot="slot",
)
PAY, NOISE = (0.0, 0.1, 0.2, 0.1, 0.0, 1.0), 0.5
BEST, RIGHT_HOW = 5, 3


class TwoArms(ProbeEnvironment):
    """The operation YES has reward 1."""

    actions, state_spec = TWO, floats("nothing")

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return 1 for YES."""
        return actions["op"].float()


class Asked(ProbeEnvironment):
    """The observed operation, −1 or 1, has reward 1."""

    actions, state_spec = TWO, floats("asked")
    asked: Tensor

    def begin(self) -> dict[str, Tensor]:
        """Draw the right operation."""
        return {"asked": self.draw(2)}

    def observe(self) -> dict[str, Tensor]:
        """Return the right operation."""
        return {"asked": 2.0 * self.asked - 1}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return 1 for the right operation."""
        return actions["op"] == self.asked


class OpOnly(ProbeEnvironment):
    """Six operations have rewards of 0 to 1 plus Gaussian noise; the heads below them change nothing.

    Without noise the advantage under the sampled baseline would be the small error of a fitted critic, which
    standardisation blows up to the size of a true one.
    """

    actions, state_spec = SIX, floats("nothing")

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return the reward of the operation, with noise."""
        return torch.tensor(PAY)[actions["op"]] + NOISE * torch.randn(self.num_envs, generator=self.generator)


class SparseChild(OpOnly):
    """The best operation earns half, and the other half if the head `how`, which it alone needs, is right too."""

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return 0, a half or 1."""
        return (actions["op"] == BEST) * (0.5 + 0.5 * (actions["how"] == RIGHT_HOW))


def right(trainer: Trainer) -> dict[str, float]:
    """Measure the probability of YES, or of what is asked for, and what is expected of it."""
    seen = trainer.rollout.steps().features.obs[..., 0]
    asked = (seen >= 0).long()
    return {"π(right)": prob_of(trainer, asked), "V": float(values(trainer).mean())}


def best(trainer: Trainer) -> dict[str, float]:
    """Measure the probability of the best operation."""
    return {"π(best)": float(op_probs(trainer)[..., BEST].mean())}


def best_and_child(trainer: Trainer) -> dict[str, float]:
    """Measure the probability of the best operation, and that of the right child given it."""
    how = evaluate(trainer).distribution.log_probs("how").exp()
    return {**best(trainer), "π(child)": float(how[..., RIGHT_HOW].mean())}
