"""P10: only the right action is legal."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core import StateField, StateSpec
from esper_core.contracts.protocols import Masks
from esper_core.learning.trainer import Trainer
from esper_factored_ppo.probes.environment import ProbeEnvironment
from esper_factored_ppo.probes.environments.bandit import SIX

RELEVANT = {name: torch.tensor(SIX.relevance(name)) for name in ("slot", "how")}


class Forced(ProbeEnvironment):
    """The reward is 1 if operation, slot and `how` are those that were drawn; nothing else is legal."""

    actions = SIX
    state_spec = StateSpec(
        tuple(
            StateField(head.name, ("E",), "int", "", f"the right entry of {head.name}", 0, head.size - 1)
            for head in SIX.heads
        )
    )

    def begin(self) -> dict[str, Tensor]:
        """Draw the right action."""
        return {head.name: self.draw(head.size) for head in SIX.heads}

    def observe(self) -> dict[str, Tensor]:
        """Return the right action."""
        return {name: getattr(self, name) for name in SIX.names}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Compare with the right action, and draw the next one."""
        right = self.observe()
        good = actions["op"] == right["op"]
        for name, relevant in RELEVANT.items():
            good &= (actions[name] == right[name]) | ~relevant[right["op"]]
        self.renew(torch.ones_like(good))
        return good

    @classmethod
    def masks(cls, state: Mapping[str, Tensor]) -> Masks:
        """Return a single legal entry per head."""
        heads = {h.name: torch.nn.functional.one_hot(state[h.name], h.size).bool() for h in SIX.heads}
        slots = heads["op"].unsqueeze(-1) & RELEVANT["slot"][:, None] & heads["slot"].unsqueeze(1)
        return Masks({**heads, "slot": slots.any(1)}, slots)


def untrained_return(trainer: Trainer) -> dict[str, float]:
    """Measure the worst return of the only rollout, which the untrained policy played."""
    assert isinstance(trainer.environment, Forced)
    return {"return": float(trainer.environment.returns.min())}
