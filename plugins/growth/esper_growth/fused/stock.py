"""The operations in PyTorch alone: for any device, and wherever no compiler is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from esper_growth.actions import Algorithm
from esper_growth.fused.join import Join

TINY = 1e-12


class MaxPool2x2(torch.autograd.Function):
    """`max_pool2d(x, 2)` for `[..., H, W]` with even H and W; ties go to the first entry, as in PyTorch.

    PyTorch's kernel does not vectorise over a row of eight pixels; three whole-tensor comparisons do.
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


class Stock:
    """Operations made of PyTorch's."""

    name = kernels = "torch"

    def pointwise(self, x: Tensor, weight: Tensor) -> Tensor:
        """Map `x [B, n, C, S]` by `weight [n, O, C]` to `[B, n, O, S]`."""
        return Pointwise.apply(x, weight)

    def norm(
        self, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, *, relu: bool, pool: bool
    ) -> Tensor:
        """Return group norm of `x [B, n·C, *spatial]`, then ReLU, then 2×2 max-pool."""
        y = functional.group_norm(x, groups, weight, bias, eps)
        # ReLU has a quarter to do behind the pool. Both orders give the same values and gradients: it is monotone, and
        # where it is flat nothing passes.
        if pool:
            y = MaxPool2x2.apply(y)
        return torch.relu(y) if relu else y

    def grow(self, x: Tensor, joins: Sequence[Join], count: int) -> Tensor:
        """Return the activation `[B, n·C, *spatial]` of n = `count` hosts with the seeds of one slot.

        Whatever the others do, the gradients of a host add up in the same order: those through its seed first, at a
        view or a copy of their own, then the direct one.
        """
        if not joins:
            return x
        batch, spatial = x.shape[0], x.shape[2:]
        apart = x.reshape(batch, count, -1)
        if len(joins) == 1 and joins[0].hosts is None:
            (join,) = joins
            return _add(apart, _contribution(join, apart.view_as(apart), spatial), join.training).view(x.shape)
        # Hosts are taken apart and put together once, however many seeds differ.
        hosts = list(apart.unbind(1))
        for join in joins:
            positions = range(count) if join.hosts is None else join.hosts
            c = _contribution(join, torch.stack([hosts[p] for p in positions], dim=1), spatial)
            for place, position in enumerate(positions):
                hosts[position] = _add(hosts[position], c[:, place], join.training)
        return torch.stack(hosts, dim=1).view(x.shape)


def capped(f: Tensor, h: Tensor, amount: Tensor | None = None) -> Tensor:
    """Scale `f [B, m, M]` down, per sample and host, where its RMS exceeds that of `h`; then by `amount [m]`."""
    return Capped.apply(f, h, amount)


def _contribution(join: Join, h: Tensor, spatial: torch.Size) -> Tensor:
    """Return what is added to `h [B, m, C·S]` of some hosts: alpha·c, or c itself while training."""
    if join.training:
        h = h.detach()
    f = join.branch(h, spatial)
    if join.algorithm == Algorithm.ADD:
        return capped(f, h, join.amount)
    return join.blend(capped(f, h), h, spatial)


def _add(h: Tensor, c: Tensor, training: bool) -> Tensor:
    return StraightThrough.apply(h, c) if training else h + c
