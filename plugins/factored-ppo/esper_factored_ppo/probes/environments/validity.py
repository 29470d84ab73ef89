"""P9: which slots are legal depends on operation and state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core import ActionSpec, Head, StateField, StateSpec
from esper_core.contracts.protocols import Masks
from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment
from esper_factored_ppo.probes.observing import evaluate

SLOTS = 3
GROW = ActionSpec(
    (Head("op", ("WAIT", "GERMINATE", "PRUNE")), Head("slot", ("a", "b", "c"), ops=("GERMINATE", "PRUNE"))),
    root="op",
    slot="slot",
)
WAIT, GERMINATE, PRUNE = range(3)


class Occupied(ProbeEnvironment):
    """GERMINATE fills an empty slot with reward 1, PRUNE empties an occupied one; anything else is invalid.

    Attributes:
        invalid: Invalid actions so far.
    """

    actions = GROW
    state_spec = StateSpec((StateField("occupied", ("E", SLOTS), "bool", "", "the slot holds a seed"),))
    occupied: Tensor
    invalid = 0

    def begin(self) -> dict[str, Tensor]:
        """Draw which slots are occupied."""
        return {"occupied": torch.rand(self.num_envs, SLOTS, generator=self.generator) < 0.5}

    def observe(self) -> dict[str, Tensor]:
        """Return which slots are occupied."""
        return {"occupied": self.occupied}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Fill or empty a slot."""
        op, slot = actions["op"], actions["slot"].unsqueeze(1)
        held = self.occupied.gather(1, slot).squeeze(1)
        self.invalid += int((((op == GERMINATE) & held) | ((op == PRUNE) & ~held)).sum())
        after = torch.where(op == WAIT, held, op == GERMINATE)
        self.occupied = self.occupied.scatter(1, slot, after.unsqueeze(1))
        return (op == GERMINATE) & ~held

    @classmethod
    def masks(cls, state: Mapping[str, Tensor]) -> Masks:
        """Return empty slots for GERMINATE and occupied ones for PRUNE."""
        occupied = state["occupied"]
        slots = torch.stack([torch.zeros_like(occupied), ~occupied, occupied], dim=1)
        ops = slots.any(-1)
        ops[:, WAIT] = True
        return Masks({"op": ops, "slot": slots.any(1)}, slots)


def invalid_and_entropy(trainer: Trainer) -> dict[str, float]:
    """Measure invalid actions of the whole training, and by how much the slot's entropy exceeds ln(valid slots)."""
    environment = trainer.environment
    assert isinstance(environment, Occupied)
    occupied = trainer.rollout.steps().features.obs > 0.5
    valid = torch.stack([(~occupied).sum(-1), occupied.sum(-1)], dim=-1)  # of GERMINATE, of PRUNE
    log_probs = evaluate(trainer).distribution.log_probs("slot")[..., GERMINATE:, :]
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    excess = (entropy - valid.clamp_min(1).float().log())[valid > 0]
    return {
        "invalid actions": float(environment.invalid),
        "slot entropy above ln(valid)": max(0.0, float(excess.max())),
    }
