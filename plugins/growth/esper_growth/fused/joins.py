"""Seeds that join some of the hosts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from esper_growth.actions import Algorithm
from esper_growth.fused.join import Join

TINY = 1e-12


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


def grow(x: Tensor, joins: Sequence[Join], count: int) -> Tensor:
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
