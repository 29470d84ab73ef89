"""What each host adds to all of its samples alike."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class _Repeat(torch.autograd.Function):
    """`[n, K]` → `[n, B, K]`; the gradient of a host is summed alone.

    How a sum over one dimension of several rounds depends on the others, and how a product with a single row does on
    where it lies in memory: a host's numbers would depend on its company.
    """

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, batch: int) -> Tensor:
        return parameter.unsqueeze(1).expand(-1, batch, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return torch.stack([own.sum(dim=0) for own in gradient.contiguous().unbind()]), None


def repeat(parameter: Tensor, batch: int) -> Tensor:
    """Return a parameter `[n, ...]` once per sample, `[n, B, ...]`."""
    flat = cast(Tensor, _Repeat.apply(parameter.flatten(1), batch))
    return flat.unflatten(2, parameter.shape[1:]) if parameter.dim() > 2 else flat
