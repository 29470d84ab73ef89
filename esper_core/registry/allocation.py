"""Tensors that do not fit into memory are refused before they are filled, when the system would end the process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from esper_core.contracts.memory import memory_left

SMALL = 2**20
"""Numbers of a tensor that is allowed without a question."""


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


class _Watch(TorchDispatchMode):
    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # Functions that make a tensor out of nothing have its size as their first argument.
        size = args[0] if args and isinstance(args[0], list | tuple) else ()
        if size and all(isinstance(extent, int) for extent in size) and math.prod(size) > SMALL:
            dtype = kwargs.get("dtype") or torch.get_default_dtype()
            needed, device = math.prod(size) * dtype.itemsize, str(kwargs.get("device") or "cpu")
            left = None if device == "meta" else memory_left(device)
            if left is not None and needed > left:
                raise TooLarge(needed, left)
        return func(*args, **kwargs)
