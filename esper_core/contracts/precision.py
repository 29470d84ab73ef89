"""Precision: which arithmetic networks may use. Parameters, optimisers and whatever follows a network are float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PRECISIONS = ("float32", "bf16")
"""Choices of a plan. float16 is none: its range is too small for unscaled gradients."""


def computing_dtype(precision: str) -> torch.dtype:
    """Return the dtype in which networks compute."""
    import torch

    return {"float32": torch.float32, "bf16": torch.bfloat16}[precision]


def autocast(precision: str, device: torch.device | str) -> AbstractContextManager[object]:
    """Return the region in which a network runs; with float32 it does nothing at all.

    Casts of weights are not cached. As long as any region around both passes is open, a later pass would find again a
    cast made before the weight changed, or made without gradients, behind which the weight silently stops learning.
    """
    if precision == "float32":
        return nullcontext()
    import torch

    return torch.autocast(torch.device(device).type, computing_dtype(precision), cache_enabled=False)


def without_autocast(device: torch.device | str) -> AbstractContextManager[object]:
    """Return a region for what must not be rounded, such as a recurrence; where nothing is cast it does nothing."""
    import torch

    kind = torch.device(device).type
    casts = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if casts else nullcontext()


def widened(value: Tensor) -> Tensor:
    """Return half-precision numbers as float32, others as they are: what leaves a region is softmaxed and summed."""
    return value.float() if value.is_floating_point() and value.dtype.itemsize < 4 else value
