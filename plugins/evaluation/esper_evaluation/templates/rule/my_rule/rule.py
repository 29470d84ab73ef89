"""The rule `my-rule`: something legal at random every few steps, else nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_core.policy.distribution import FactoredDistribution
from my_rule.config import MyRuleConfig

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


class MyRule:
    """Kind `rule`: an arm without parameters, for any environment, that a learned policy must beat."""

    def __init__(self, config: MyRuleConfig, context: BuildContext) -> None:
        self.config, self.actions = config, context.actions
        self._steps = 0

    def reset(self, num_envs: int) -> None:
        """Forget the episode before."""
        self._steps = 0

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return one action per head, int64 `[E]`; all randomness comes from the generator."""
        # Equal logits are uniform play. The distribution knows what is legal, and which heads matter to an operation.
        logits = {name: torch.zeros_like(mask, dtype=torch.float32) for name, mask in masks.heads.items()}
        actions = FactoredDistribution(self.actions, logits, masks).sample(generator)
        acting = self._steps % self.config.every == 0
        self._steps += 1
        return actions if acting else self._waiting(actions, masks)

    def _waiting(self, actions: dict[str, Tensor], masks: Masks) -> dict[str, Tensor]:
        """Return the actions with the neutral operation where that is legal."""
        if self.actions.root is None:  # no operation to wait with
            return actions
        neutral = self.actions.category(self.actions.root).neutral
        may_wait = masks.heads[self.actions.root][:, neutral]
        return {head.name: torch.where(may_wait, head.neutral, actions[head.name]) for head in self.actions.heads}
