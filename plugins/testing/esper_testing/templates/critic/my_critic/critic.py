"""The critic `my-critic`: latent → hidden layer → V(s)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from esper_core.contracts.protocols import BuildContext, Values
from my_critic.config import MyCriticConfig


class MyCritic(nn.Module):
    """Kind `critic`: what the rest of an episode will pay, in normalised return units."""

    def __init__(self, config: MyCriticConfig, context: BuildContext) -> None:
        super().__init__()
        # The network is built first, so the width of its latent is known here.
        self.hidden = nn.Linear(context.latent_dim, config.hidden_dim)
        self.output = nn.Linear(config.hidden_dim, 1)

    def forward(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
        """Return V(s) `[E, T]` for `latent [E, T, H]`.

        The operation does not matter to V(s). A critic of Q(s, op) would return one value per operation as `by_op`,
        that of the operation taken as `q_taken`, and their mean under `op_probs` as `value`.
        """
        value = self.output(torch.tanh(self.hidden(latent))).squeeze(-1)
        return Values(value=value, q_taken=value, by_op=None)

    @torch.no_grad()
    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Keep predictions in return units while their statistics change (PopArt, van Hasselt et al. 2016).

        Without it every change of the statistics would shift all values that were learned before.
        """
        self.output.weight.mul_(old_std / new_std)
        self.output.bias.mul_(old_std).add_(old_mean - new_mean).div_(new_std)
