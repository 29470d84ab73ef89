"""The operations as compiled kernels: one pass over memory each, on the CPU."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from esper_growth.actions import Algorithm
from esper_growth.fused import compiler
from esper_growth.fused.join import Join
from esper_growth.fused.stock import capped

SUFFIX = {torch.float32: "_f32", torch.float64: "_f64"}
NUMBER = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}
NOTHING, PLAIN, CAPPED = 0, 1, 2


POINTER, LONG, DOUBLE = ctypes.c_void_p, ctypes.c_long, ctypes.c_double
SIGNATURES = {
    "pointwise": [POINTER] * 3 + [LONG] * 5,
    "pointwise_backward": [POINTER] * 5 + [LONG] * 5,
    "norm": [POINTER] * 6 + [LONG] * 6 + [DOUBLE],
    "norm_backward": [POINTER] * 9 + [LONG] * 6,
    "join": [POINTER] * 7 + [LONG] * 3,
    "join_backward": [POINTER] * 9 + [LONG] * 3,
}


@functools.cache
def kernel(name: str, dtype: torch.dtype) -> Callable[..., None]:
    """Return a compiled function for a number type."""
    function = getattr(compiler.load().kernels, name + SUFFIX[dtype])
    function.argtypes, function.restype = SIGNATURES[name], None
    return function


def call(name: str, dtype: torch.dtype, *arguments: Any) -> None:
    """Call a kernel; tensors are passed as pointers, None as a null pointer."""
    kernel(name, dtype)(*[a.data_ptr() if isinstance(a, Tensor) else a for a in arguments])


class Pointwise(torch.autograd.Function):
    """A 1×1 convolution per host."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Map `x [B, n, C, S]` by `weight [n, O, C]` to `[B, n, O, S]`."""
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        batch, n, inputs, size = x.shape
        y = x.new_empty(batch, n, weight.shape[1], size)
        call("pointwise", x.dtype, x, weight, y, batch, n, inputs, weight.shape[1], size)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of x and weight."""
        x, weight = ctx.saved_tensors
        batch, n, inputs, size = x.shape
        to_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        to_weight = torch.empty_like(weight)
        sizes = (batch, n, inputs, weight.shape[1], size)
        call("pointwise_backward", x.dtype, gradient.contiguous(), x, weight, to_x, to_weight, *sizes)
        return to_x, to_weight


class Norm(torch.autograd.Function):
    """Group norm, ReLU and 2×2 max-pool, the last two if wanted."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, relu: bool, pool: bool
    ) -> Tensor:
        """Map `x [B, C, *spatial]` to the same shape, or with H and W halved."""
        x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
        batch, channels, *spatial = x.shape
        if pool and any(side % 2 for side in spatial):
            raise ValueError(f"a 2×2 max-pool needs even sides, not {' × '.join(map(str, spatial))}")
        size, width = x[0, 0].numel(), spatial[-1] if pool else 0
        y = x.new_empty(batch, channels, *((side // 2 for side in spatial) if pool else spatial))
        mean, scale = x.new_empty(2, batch, groups).unbind()
        ctx.sizes = (batch, groups, channels // groups, size, width, int(relu))
        call("norm", x.dtype, x, weight, bias, y, mean, scale, *ctx.sizes, eps)
        ctx.save_for_backward(x, weight, bias, mean, scale)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, weight and bias."""
        x, weight, bias, mean, scale = ctx.saved_tensors
        to_x, to_weight, to_bias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        given = (gradient.contiguous(), x, weight, bias, mean, scale)
        call("norm_backward", x.dtype, *given, to_x, to_weight, to_bias, *ctx.sizes)
        return to_x, to_weight, to_bias, None, None, None, None


class Layout(NamedTuple):
    """Which part belongs to which host, and how it is added.

    Attributes:
        places: Per host, index of its part and row in it; None without one.
        modes: Per host, NOTHING, PLAIN or CAPPED.
        fixed: Per host, whether it keeps its value and only the part gets a gradient.
        amounts: Per host.
    """

    places: list[tuple[int, int] | None]
    modes: list[int]
    fixed: list[int]
    amounts: list[float]

    @classmethod
    def of(cls, joins: Sequence[Join], count: int) -> Layout:
        """Return the layout of parts in the order of `joins` for n = `count` hosts."""
        layout = cls([None] * count, [NOTHING] * count, [0] * count, [1.0] * count)
        for index, join in enumerate(joins):
            amounts = [1.0] * count if join.amount is None else join.amount.tolist()
            for row, host in enumerate(range(count) if join.hosts is None else join.hosts):
                layout.places[host] = (index, row)
                layout.modes[host] = CAPPED if join.algorithm == Algorithm.ADD else PLAIN
                layout.fixed[host] = int(join.training)
                layout.amounts[host] = amounts[row]
        return layout

    def tables(self, dtype: torch.dtype) -> tuple[Any, Any, Any]:
        """Return modes, fixed and amounts as arrays for a kernel."""
        count = len(self.places)
        longs = ctypes.c_long * count
        return longs(*self.modes), longs(*self.fixed), (NUMBER[dtype] * count)(*self.amounts)

    def pointers(self, parts: Sequence[Tensor]) -> Any:
        """Return, per host, a pointer to its row in its part `[B, m, M]`."""
        starts = [(part.data_ptr(), part.stride(1) * part.element_size()) for part in parts]
        where = [None if p is None else starts[p[0]][0] + p[1] * starts[p[0]][1] for p in self.places]
        return (ctypes.c_void_p * len(where))(*where)

    def strides(self, parts: Sequence[Tensor]) -> Any:
        """Return, per host, the distance between samples of its part."""
        apart = [part.stride(0) for part in parts]
        return (ctypes.c_long * len(self.places))(*[0 if p is None else apart[p[0]] for p in self.places])


def add(h: Tensor, parts: Sequence[Tensor], layout: Layout) -> Tensor:
    """Return `h [B, n, M]` plus what the layout says of `parts`, each `[B, m, M]`."""
    y = torch.empty_like(h)
    modes, fixed, amounts = layout.tables(h.dtype)
    where = (layout.pointers(parts), layout.strides(parts))
    call("join", h.dtype, h, *where, modes, fixed, amounts, y, *h.shape)
    return y


class Add(torch.autograd.Function):
    """Hosts and what their seeds contribute."""

    @staticmethod
    def forward(ctx: Any, layout: Layout, h: Tensor, *parts: Tensor) -> Tensor:
        """Return `h [B, n, M]` with parts `[B, m, M]` added."""
        parts = tuple(part.contiguous() for part in parts)
        ctx.layout = layout
        ctx.save_for_backward(h, *parts)
        kept = all(fixed or mode == NOTHING for mode, fixed in zip(layout.modes, layout.fixed, strict=True))
        return h.view_as(h) if kept else add(h, parts, layout)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of h and the parts."""
        layout: Layout = ctx.layout
        h, *parts = ctx.saved_tensors
        gradient, to_h = gradient.contiguous(), torch.empty_like(h)
        to_parts = [torch.empty_like(part) for part in parts]
        modes, fixed, amounts = layout.tables(h.dtype)
        where = (layout.pointers(parts), layout.pointers(to_parts), layout.strides(parts))
        call("join_backward", h.dtype, gradient, h, *where, modes, fixed, amounts, to_h, *h.shape)
        return None, to_h, *to_parts


class Fork(torch.autograd.Function):
    """Hosts, and copies of some of them for their seeds to read.

    The gradients of a host add up in the same order whatever the others do: the direct one, then its seed's.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, takers: Sequence[Join]) -> tuple[Tensor, ...]:
        """Return `h [B, n, M]` and for each join its hosts' `[B, m, M]`."""
        layout = Layout.of(takers, h.shape[1])
        ctx.layout = layout._replace(modes=[min(mode, PLAIN) for mode in layout.modes])
        return h.view_as(h), *(_take(h, join) for join in takers)

    @staticmethod
    def backward(ctx: Any, direct: Tensor, *others: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of h."""
        return add(direct.contiguous(), [other.contiguous() for other in others], ctx.layout), None


def _take(h: Tensor, join: Join) -> Tensor:
    if join.hosts is None:
        return h.view_as(h)
    return torch.stack([h[:, host] for host in join.hosts], dim=1)


class Compiled:
    """Operations as compiled kernels, for float32 and float64 on the CPU.

    Raises:
        NoCompiler: they cannot be compiled here.
    """

    name = "compiled"

    def __init__(self) -> None:
        self.kernels = f"compiled {compiler.load().digest}"

    def pointwise(self, x: Tensor, weight: Tensor) -> Tensor:
        """Map `x [B, n, C, S]` by `weight [n, O, C]` to `[B, n, O, S]`."""
        return Pointwise.apply(x, weight)

    def norm(
        self, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, *, relu: bool, pool: bool
    ) -> Tensor:
        """Return group norm of `x [B, n·C, *spatial]`, then ReLU, then 2×2 max-pool."""
        return Norm.apply(x, weight, bias, groups, eps, relu, pool)

    def grow(self, x: Tensor, joins: Sequence[Join], count: int) -> Tensor:
        """Return the activation `[B, n·C, *spatial]` of n = `count` hosts with the seeds of one slot."""
        if not joins:
            return x
        spatial = x.shape[2:]
        apart = x.reshape(x.shape[0], count, -1)
        trunk, *inputs = Fork.apply(apart, [join for join in joins if not join.training])
        taken = iter(inputs)
        parts = []
        for join in joins:
            h = _take(apart.detach(), join) if join.training else next(taken)
            f = join.branch(h, spatial)
            parts.append(f if join.algorithm == Algorithm.ADD else join.blend(capped(f, h), h, spatial))
        return Add.apply(Layout.of(joins, count), trunk, *parts).view(x.shape)
