"""P12: the T-maze (Bakker, 2001): a sign at the start tells which way to turn at the end of a corridor."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core import ActionSpec, Head, StateField, StateSpec
from esper_core.contracts.protocols import Masks
from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment
from esper_factored_ppo.probes.observing import op_probs

WALK = ActionSpec((Head("op", ("FORWARD", "LEFT", "RIGHT")),), root="op")


class TMaze(ProbeEnvironment):
    """The sign is observed at the first step only; the right turn at the last, the junction, has reward 1.

    Corridors of all lengths up to the horizon lie side by side, each once with either sign: a gradient fades over a
    hundred steps of an untrained memory, so the long corridors are learned by way of the shorter ones.
    """

    actions = WALK
    state_spec = StateSpec(
        (
            StateField("sign", ("E",), "float", "", "−1 left, 1 right, 0 out of sight", -1, 1),
            StateField("junction", ("E",), "bool", "", "the corridor is at its end"),
        )
    )

    def __init__(self, num_envs: int, horizon: int) -> None:
        super().__init__(num_envs, horizon)
        pairs = num_envs // 2
        lengths = 2 * (horizon / 2) ** torch.linspace(0, 1, pairs)
        self.lengths = lengths.round().long().repeat_interleave(2)
        self.sign = torch.arange(num_envs) % 2

    def observe(self) -> dict[str, Tensor]:
        """Return sign and junction."""
        junction = self.t >= self.lengths - 1
        return {"sign": (2.0 * self.sign - 1) * (self.t == 0), "junction": junction}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return 1 for the right turn, which can only be made at the junction."""
        return actions["op"] == self.sign + 1

    @classmethod
    def masks(cls, state: Mapping[str, Tensor]) -> Masks:
        """Return FORWARD in the corridor and the two turns at its end."""
        junction = state["junction"].unsqueeze(1)
        return Masks({"op": torch.cat([~junction, junction, junction], dim=1)})


def success(trainer: Trainer) -> dict[str, float]:
    """Measure the probability of the right turn at the end of the longest corridor, the mean of both signs."""
    junction = trainer.rollout.steps().features.obs[-2:, :, 1] > 0.5
    (_, left, _), (_, _, right) = (
        probs[there].mean(0) for probs, there in zip(op_probs(trainer)[-2:], junction, strict=True)
    )
    return {"success": float(left + right) / 2}
