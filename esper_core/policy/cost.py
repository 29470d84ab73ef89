"""Counting what a network costs: its parameters, and the floating-point operations of one sample."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@frozen
class Cost:
    """What a network, or a part of it by name, costs: trainable numbers, and operations of one sample.

    Convolutions and matrix products are counted as in `torch.utils.flop_counter`, 2 for an addition and multiplication.
    """

    name: str
    parameters: int
    flops: int


@torch.no_grad()
def count(network: nn.Module, sample: Tensor) -> tuple[Cost, list[Cost]]:
    """Return the cost of a network and of each of its children, for a sample `[1, …]`."""
    with _unfused(), FlopCounterMode(display=False) as counter:
        network(sample)
    table = counter.get_flop_counts()
    root = type(network).__name__
    parts = [
        Cost(name, _parameters(child), sum(table.get(f"{root}.{name}", {}).values()))
        for name, child in network.named_children()
    ]
    return Cost("", _parameters(network), counter.get_total_flops()), parts


@contextmanager
def _unfused() -> Iterator[None]:
    """Let attention and recurrent layers run as matrix products, for nobody counts the kernels they have otherwise."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False), warnings.catch_warnings():
            # OneDNN says on other machines than Intel's that it has no TF32 there.
            warnings.simplefilter("ignore", UserWarning)
            with torch.backends.mkldnn.flags(enabled=False):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
