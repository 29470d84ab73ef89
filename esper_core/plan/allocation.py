"""Tensors that do not fit into memory are refused before they are filled, when the system would end the process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from esper_core.system.memory import memory_left

SMALL = 2**20
"""Numbers of a tensor that is allowed without a question."""

FROM_NOTHING = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})
"""Functions whose first argument, or arguments, are the size of a new tensor."""


class TooLarge(MemoryError):
    """A tensor of so many bytes does not fit.

    Attributes:
        needed: Its bytes.
        left: Bytes that are left.
    """

    def __init__(self, needed: int, left: int) -> None:
        super().__init__(f"a tensor of {needed} bytes")
        self.needed, self.left = needed, left


@contextmanager
def only_what_fits() -> Iterator[None]:
    """Raise TooLarge within as soon as a new tensor does not fit into what is left of memory."""
    with _Watch():
        yield


class _Watch(TorchFunctionMode):
    """Sees calls of torch's functions; a mode that sees operators would import torch's compiler, for seconds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in FROM_NOTHING:
            size = args[0] if args and isinstance(args[0], list | tuple) else kwargs.get("size", args)
            _check(size, kwargs.get("dtype") or torch.get_default_dtype(), str(kwargs.get("device") or "cpu"))
        return func(*args, **kwargs)


def _check(size: Sequence[Any], dtype: torch.dtype, device: str) -> None:
    count = math.prod(extent for extent in size if isinstance(extent, int))
    if count <= SMALL or device == "meta":
        return
    needed, left = count * dtype.itemsize, memory_left(device)
    if left is not None and needed > left:
        raise TooLarge(needed, left)
