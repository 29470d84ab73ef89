"""Products per sample and host."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Pointwise(torch.autograd.Function):
    """One matrix product per sample and host, whose weight gradient is summed host by host.

    A sum over all hosts at once would round differently with another number of hosts.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Map `x [B, n, C, S]` and `weight [n, O, C]` to `[B, n, O, S]`."""
        ctx.save_for_backward(x, weight)
        return torch.matmul(weight, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of x and weight."""
        x, weight = ctx.saved_tensors
        to_x = torch.matmul(weight.transpose(1, 2), gradient) if ctx.needs_input_grad[0] else None
        to_weight = None
        if ctx.needs_input_grad[1]:
            parts = torch.matmul(gradient, x.transpose(2, 3))
            to_weight = torch.stack([part.sum(dim=0) for part in parts.unbind(1)])
        return to_x, to_weight


def pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """Map `x [B, n, C, S]` by `weight [n, O, C]` to `[B, n, O, S]`."""
    y: Tensor = Pointwise.apply(x, weight)
    return y
