"""What a policy is paid for: committed accuracy over the static host's, less rent, operations and FLOPs.

All terms are `[E]` float64 tensors; accuracies are fractions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from esper_growth.stages import Stage

_POTENTIAL = torch.zeros(len(Stage), dtype=torch.float64)
_POTENTIAL[[Stage.TRAINING, Stage.BLENDING, Stage.HOLDING, Stage.FOSSILIZED]] = torch.tensor(
    [0.2, 0.5, 0.7, 1.0], dtype=torch.float64
)


def rent(alpha: Tensor, seed_parameters: Tensor, host_parameters: Tensor, price: float, epochs: int) -> Tensor:
    """Return −(price/T)·ln(1 + growth), growth = Σ α·seed parameters `[E, N]` / host parameters `[E]`."""
    growth = (alpha.double() * seed_parameters).sum(dim=1) / host_parameters
    return -(price / epochs) * torch.log1p(growth)


def training(added: Tensor, price: float, epochs: int) -> Tensor:
    """Return −(price/T)·FLOPs of the seeds, `added [E]`, in epochs of the bare host.

    Over an episode that is −price·(training FLOPs / those of the bare host − 1): the unit is the static host's episode,
    whatever the host, and doing nothing costs nothing.
    """
    return -(price / epochs) * added


def potential(stage: Tensor, scale: float) -> Tensor:
    """Return Φ(s) = scale·Σ over all slots of the stage's weight, from `stage [E, N]`; an empty host has 0."""
    return scale * _POTENTIAL[stage].sum(dim=1)


def shaping(before: Tensor, after: Tensor, terminal: Tensor, gamma: float) -> Tensor:
    """Return γΦ(s′) − Φ(s) with Φ(terminal) = 0, which cannot change what is optimal (Ng, Harada and Russell 1999)."""
    return gamma * torch.where(terminal, 0.0, after) - before
