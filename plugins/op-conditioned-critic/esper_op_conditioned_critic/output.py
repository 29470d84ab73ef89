"""The output layer that critics share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import BuildContext

FINAL_GAIN = 0.1


def hidden_layer(inputs: int, latent_dim: int) -> nn.Linear:
    """Return inputs → half the latent, orthogonal with gain √2."""
    layer = nn.Linear(inputs, max(1, latent_dim // 2))
    nn.init.orthogonal_(layer.weight, math.sqrt(2))
    nn.init.zeros_(layer.bias)
    return layer


def told_alone(wanted: bool, context: BuildContext) -> int:
    """Return how many numbers a critic is told alone; 0 unless it is `wanted`."""
    if wanted and not context.privileged:
        raise IncompatiblePlan(
            "critic.privileged is true, but this environment tells critics nothing that it does not publish.",
            hint="Leave critic.privileged out.",
        )
    return context.privileged if wanted else 0


def told_layer(numbers: int, outputs: int) -> nn.Linear | None:
    """Return what is told alone → the hidden layer, whose inputs it joins; at first it changes nothing."""
    if not numbers:
        return None
    layer = nn.Linear(numbers, outputs, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


class ValueOutput(nn.Linear):
    """Hidden → 1, in normalised return units that can be rescaled."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 1)
        nn.init.orthogonal_(self.weight, FINAL_GAIN)
        nn.init.zeros_(self.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `[..., inputs]` to `[...]`."""
        return super().forward(hidden).squeeze(-1)

    @torch.no_grad()
    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Keep predictions in return units while the statistics change (PopArt, van Hasselt et al. 2016)."""
        self.weight.mul_(old_std / new_std)
        self.bias.mul_(old_std).add_(old_mean - new_mean).div_(new_std)
