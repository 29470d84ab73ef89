"""What a computation costs whatever machine it runs on, and the least time it can take on one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from esper_core.bench.machine import Ceilings
from esper_core.bench.repeats import Work


@frozen
class Cost:
    """What a computation does.

    Attributes:
        operations: Calls of operations that do something; views are free.
        flops: Floating point operations of matrix products and convolutions, backward passes included.
        bytes_moved: Bytes of all tensors that operations read and write.
    """

    operations: float
    flops: float
    bytes_moved: float

    def shared_by(self, parts: float) -> Cost:
        """Return the cost of one of `parts` equal parts."""
        return Cost(self.operations / parts, self.flops / parts, self.bytes_moved / parts)

    def least_seconds(self, ceilings: Ceilings) -> float:
        """Return the least time on one core: calls, then arithmetic and movement at once, all in the cache."""
        arithmetic, movement = self.flops / ceilings.gflops, self.bytes_moved / ceilings.cache_gbps
        return self.operations * ceilings.operation_us / 1e6 + max(arithmetic, movement) / 1e9


def count(work: Work) -> Cost:
    """Run a work of this thread and return what it cost."""
    traffic, flops = _Traffic(), FlopCounterMode(display=False)
    with flops, traffic:
        work()
    return Cost(traffic.operations, flops.get_total_flops(), traffic.bytes_moved)


class _Traffic(TorchDispatchMode):
    """Counts operations and the bytes of what goes into them and comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.bytes_moved = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not _is_view(func):
            self.operations += 1
            self.bytes_moved += _bytes(tree_leaves((args, kwargs))) + _bytes(tree_leaves(result))
        return result


def _is_view(func: torch._ops.OpOverload) -> bool:
    returned = func._schema.returns
    return bool(returned) and all(r.alias_info is not None and not r.alias_info.is_write for r in returned)


def _bytes(values: Iterable[object]) -> int:
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))
