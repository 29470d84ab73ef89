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
    """The sign is seen at the first step only. At the last, the junction, turning as it said pays 1."""

    actions = WALK
    state_spec = StateSpec(
        (
            StateField("sign", ("E",), "float", "", "−1 left, 1 right, 0 out of sight", -1, 1),
            StateField("junction", ("E",), "bool", "", "the corridor is at its end"),
        )
    )

    def begin(self) -> None:
        """Draw the signs, as many of one kind as of the other: else turning as most of them said would pay."""
        self.sign = torch.randperm(self.num_envs, generator=self.generator) % 2

    def observe(self) -> dict[str, Tensor]:
        """Return sign and junction."""
        junction = torch.full((self.num_envs,), self.t >= self.horizon - 1)
        return {"sign": (2.0 * self.sign - 1) * float(self.t == 0), "junction": junction}

    def pay(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Return 1 for the right turn."""
        return actions["op"] == self.sign + 1

    @classmethod
    def masks(cls, state: Mapping[str, Tensor]) -> Masks:
        """Return FORWARD in the corridor and the two turns at its end."""
        junction = state["junction"].unsqueeze(1)
        return Masks({"op": torch.cat([~junction, junction, junction], dim=1)})


def success(trainer: Trainer) -> dict[str, float]:
    """Measure the probability of the right turn."""
    sign = trainer.rollout.steps().features.obs[:, 0, 0]
    turn = op_probs(trainer)[:, -1]
    return {"success": float(torch.where(sign > 0, turn[:, 2], turn[:, 1]).mean())}
