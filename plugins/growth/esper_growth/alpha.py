"""Alpha ramps: the amplitude of a seed's branch moves along a curve, one controller tick per epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from esper_growth.actions import Curve


def curve(kind: Tensor, t: Tensor, steepness: Tensor) -> Tensor:
    """Return the share of a ramp completed at `t` in [0, 1], elementwise.

    Linear: t. Cosine: ½(1 − cos πt). Sigmoid: (σ(k(t−½)) − σ(−k/2)) / (σ(k/2) − σ(−k/2)) with steepness k.
    """
    # PyTorch may round an element that fills no vector differently. In float64, and rounded once more, it is the same
    # wherever in a tensor it lies, so no host depends on how many are beside it.
    wide, k = t.double(), steepness.double()
    low, high = torch.sigmoid(-k / 2), torch.sigmoid(k / 2)
    sigmoid = (torch.sigmoid(k * (wide - 0.5)) - low) / (high - low)
    cosine = 0.5 * (1 - torch.cos(torch.pi * wide))
    return torch.where(kind == Curve.LINEAR, wide, torch.where(kind == Curve.COSINE, cosine, sigmoid)).to(t.dtype)
