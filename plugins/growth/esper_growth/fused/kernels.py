"""Operations that the fused runtime computes in fewer passes over memory than the stock ones. Each has a stock twin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

TINY = 1e-12


class MaxPool2x2(torch.autograd.Function):
    """`max_pool2d(x, 2)` for `[..., H, W]` with even H and W; ties go to the first entry, as in the stock version.

    The stock kernel does not vectorise over a row of eight pixels; three whole-tensor comparisons do.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Map `[..., H, W]` to `[..., H/2, W/2]`."""
        *lead, height, width = x.shape
        left, right = x.view(*lead, height, width // 2, 2).unbind(-1)
        rows = torch.maximum(left, right).view(*lead, height // 2, 2, width // 2)
        upper, lower = rows.unbind(-2)
        ctx.save_for_backward(right > left, lower > upper)
        ctx.shape = x.shape
        return torch.maximum(upper, lower)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Hand the gradient to the entry that was the maximum."""
        from_right, from_lower = ctx.saved_tensors
        *lead, height, width = ctx.shape
        rows = gradient.new_empty(*lead, height // 2, 2, width // 2)
        torch.mul(gradient, from_lower, out=rows[..., 1, :])
        torch.sub(gradient, rows[..., 1, :], out=rows[..., 0, :])
        rows = rows.view(*lead, height, width // 2)
        pairs = gradient.new_empty(*lead, height, width // 2, 2)
        torch.mul(rows, from_right, out=pairs[..., 1])
        torch.sub(rows, pairs[..., 1], out=pairs[..., 0])
        return pairs.view(ctx.shape)


def max_pool_2x2(x: Tensor) -> Tensor:
    """Return `max_pool2d(x, 2)` of a contiguous `[..., H, W]` with even H and W."""
    return MaxPool2x2.apply(x)


class StraightThrough(torch.autograd.Function):
    """The value of h, while c receives the same gradient, as `h + (c − stop(c))` would give."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, c: Tensor) -> Tensor:
        """Return `h` unchanged; `c` has its shape."""
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Hand the gradient to both."""
        return gradient, gradient


def straight_through(h: Tensor, c: Tensor) -> Tensor:
    """Return h with c attached to its gradient."""
    return StraightThrough.apply(h, c)


class Capped(torch.autograd.Function):
    """`amount·f·min(1, rms(h)/rms(f))` per sample and host, with its derivative written out.

    With a = mean f², b = mean h², s = √((b+ε)/(a+ε)) where s < 1, else 1:
    ∂/∂f: s·g − f·s·⟨g,f⟩/(M(a+ε)); ∂/∂h: h·s·⟨g,f⟩/(M(b+ε)); M entries per sample and host.
    """

    @staticmethod
    def forward(ctx: Any, f: Tensor, h: Tensor, amount: Tensor | None) -> Tensor:
        """Cap `f` by `h`, both `[B, m, M]`, times `amount [m]` where given."""
        size = f.shape[-1]
        f_power = (torch.linalg.vector_norm(f, dim=-1, keepdim=True).square() / size).add_(TINY)
        h_power = (torch.linalg.vector_norm(h, dim=-1, keepdim=True).square() / size).add_(TINY)
        raw = (h_power / f_power).sqrt_()
        limited = raw <= 1.0
        scale = raw.clamp_(max=1.0)
        if amount is not None:
            scale = scale * amount.view(1, -1, 1)
        ctx.save_for_backward(f, h, f_power, h_power, scale, limited)
        return f * scale

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients of f and h."""
        f, h, f_power, h_power, scale, limited = ctx.saved_tensors
        inner = torch.matmul(gradient.unsqueeze(-2), f.unsqueeze(-1)).squeeze(-1)
        pull = torch.where(limited, inner * scale / f.shape[-1], 0.0)
        to_f = (gradient * scale).addcmul_(f, pull / f_power, value=-1.0) if ctx.needs_input_grad[0] else None
        to_h = h * (pull / h_power) if ctx.needs_input_grad[1] else None
        return to_f, to_h, None


def capped(f: Tensor, h: Tensor, amount: Tensor | None = None) -> Tensor:
    """Scale `f [B, m, M]` down, per sample and host, where its RMS exceeds that of `h`; then by `amount [m]`."""
    return Capped.apply(f, h, amount)


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
    return Pointwise.apply(x, weight)
