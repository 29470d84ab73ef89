"""The rule `my-rule`: something legal at random every few steps, else nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.executed import executed
from esper_core.policy.legality import neutral
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
        """Return actions as the environment takes them; all randomness comes from the generator."""
        some = next(iter(state.values()))
        # Equal logits are uniform play, and numbers of mean 0. The distribution knows what is legal, and which heads
        # matter to an operation.
        logits = {head.name: some.new_zeros(len(some), head.size, dtype=torch.float32) for head in self.actions.heads}
        drawn = FactoredDistribution(self.actions, logits, masks).sample(generator)
        actions = executed(self.actions, drawn)
        acting = self._steps % self.config.every == 0
        self._steps += 1
        return actions if acting else self._waiting(actions, masks)

    def _waiting(self, actions: dict[str, Tensor], masks: Masks) -> dict[str, Tensor]:
        """Return the actions with the neutral operation where that is legal."""
        if self.actions.root is None:  # no operation to wait with
            return actions
        may_wait = masks.heads[self.actions.root][:, self.actions.category(self.actions.root).neutral]
        calm = neutral(self.actions, len(may_wait), may_wait.device)
        return {
            name: torch.where(may_wait.reshape(-1, *[1] * (value.dim() - 1)), calm[name], value)
            for name, value in actions.items()
        }
