"""The critic `linear-value`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from esper_core.contracts.protocols import BuildContext, Values


class LinearValue(nn.Module):
    """Kind `critic`: one linear layer from the latent to V(s), orthogonal with gain 1 at first."""

    def __init__(self, config: None, context: BuildContext) -> None:
        super().__init__()
        self.critic = nn.Linear(context.latent_dim, 1)
        nn.init.orthogonal_(self.critic.weight)
        nn.init.zeros_(self.critic.bias)

    def forward(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
        """Return V(s) `[E, T]` as baseline and as what is regressed; the operation does not matter."""
        value = self.critic(latent).squeeze(-1)
        return Values(value=value, q_taken=value, by_op=None)

    @torch.no_grad()
    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Keep predictions in return units under the new statistics (PopArt, van Hasselt et al. 2016)."""
        self.critic.weight.mul_(old_std / new_std)
        self.critic.bias.mul_(old_std).add_(old_mean - new_mean).div_(new_std)
