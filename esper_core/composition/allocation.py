"""Tensors that do not fit into memory are refused before they are filled, when the system would end the process."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from esper_core.system.memory import memory_left

SMALL = 2**20
"""Numbers of a tensor that is allowed without a question."""

FROM_NOTHING = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})
"""Functions whose first argument, or arguments, are the size of a new tensor."""


class TooLarge(MemoryError):
    """A tensor of `needed` bytes does not fit into the `left` ones."""

    def __init__(self, needed: int, left: int) -> None:
        super().__init__(f"a tensor of {needed} bytes")
        self.needed, self.left = needed, left


class OnlyWhatFits(TorchFunctionMode):
    """Raises TooLarge within as soon as a new tensor does not fit into what is left of memory.

    It sees calls of torch's functions; a mode that sees operators would import torch's compiler, for seconds.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in FROM_NOTHING:
            size = args[0] if args and isinstance(args[0], list | tuple) else kwargs.get("size", args)
            count = math.prod(extent for extent in size if isinstance(extent, int))
            device = str(kwargs.get("device") or "cpu")
            if count > SMALL and device != "meta":
                needed = count * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize
                left = memory_left(device)
                if left is not None and needed > left:
                    raise TooLarge(needed, left)
        return func(*args, **kwargs)
