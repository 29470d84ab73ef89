"""What a computation costs whatever machine it runs on, and the least time it can take on one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from esper_bench.machine import Ceilings
from esper_bench.repeats import Work


@frozen
class Cost:
    """What PyTorch's operations do in a computation; a product is a matrix product or a convolution.

    Attributes:
        operations: Calls of operations that do something; views are free.
        flops: Floating point operations of products, backward passes included.
        bytes_moved: Bytes of all tensors that operations read and write.
        product_bytes: Those that products read and write.
    """

    operations: float
    flops: float
    bytes_moved: float
    product_bytes: float

    def least_seconds(self, ceilings: Ceilings) -> float:
        """Return the least time on one core: calls, then arithmetic and movement at once, all in the cache."""
        called = self.operations * ceilings.operation_us / 1e6
        return called + max(self.flops / ceilings.gflops, self.bytes_moved / ceilings.cache_gbps) / 1e9

    def least_seconds_of_products(self, ceilings: Ceilings) -> float:
        """Return the least time on one core when calls, and all there is between products, cost nothing."""
        return max(self.flops / ceilings.gflops, self.product_bytes / ceilings.cache_gbps) / 1e9


def count(work: Work) -> Cost:
    """Run a work of this thread and return what it cost."""
    traffic, flops = _Traffic(), FlopCounterMode(display=False)
    with flops, traffic:
        work()
    return Cost(traffic.operations, flops.get_total_flops(), traffic.bytes_moved, traffic.product_bytes)


class _Traffic(TorchDispatchMode):
    """Counts operations and the bytes of what goes into them and comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.bytes_moved, self.product_bytes = 0, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not _is_view(func):
            moved = _bytes(tree_leaves((args, kwargs))) + _bytes(tree_leaves(result))
            self.operations += 1
            self.bytes_moved += moved
            self.product_bytes += moved if func._overloadpacket in flop_registry else 0
        return result


def _is_view(func: torch._ops.OpOverload) -> bool:
    returned = func._schema.returns
    return bool(returned) and all(r.alias_info is not None and not r.alias_info.is_write for r in returned)


def _bytes(values: Iterable[object]) -> int:
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))
