"""What this machine can do at best, measured on one core: the ceilings that figures are held against."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from attrs import frozen

from esper_bench.repeats import Work, median_seconds, one_thread
from esper_core.system.machine import cores

MATRIX = 512
PRODUCT_FLOPS = 2 * MATRIX**3
CACHE_BYTES, MEMORY_BYTES = 256 * 1024, 256 * 1024 * 1024


@frozen
class Ceilings:
    """Best rates of one core.

    Attributes:
        gflops: 10⁹ float32 operations per second in a product of two 512 × 512 matrices.
        cache_gbps: 10⁹ bytes read and written per second when copying 256 KB.
        memory_gbps: The same for 256 MB.
        operation_us: Microseconds of the smallest operation there is: what any operation costs beside its work.
        cores_at_once: How many times the products of one core all cores make at the same time. Less than the number of
            cores says that something else wanted them.
    """

    gflops: float
    cache_gbps: float
    memory_gbps: float
    operation_us: float
    cores_at_once: float


def measure_ceilings() -> Ceilings:
    """Measure the ceilings of one core, and how many of them there are to be had; it takes about a second."""
    with one_thread(), torch.inference_mode():
        product = median_seconds(products(), repeats=50, warm_up=5)
        one = torch.zeros(1)

        def small() -> None:
            for _ in range(1000):
                one.add_(1.0)

        return Ceilings(
            gflops=PRODUCT_FLOPS / product / 1e9,
            cache_gbps=_copy_gbps(CACHE_BYTES, repeats=500),
            memory_gbps=_copy_gbps(MEMORY_BYTES, repeats=3),
            operation_us=median_seconds(small, repeats=5) * 1e3,
            cores_at_once=_cores_at_once(product),
        )


def products() -> Work:
    """Return a work that multiplies two 512 × 512 matrices once: `PRODUCT_FLOPS` operations."""
    a, b, out = (torch.rand(MATRIX, MATRIX) for _ in range(3))
    return lambda: torch.mm(a, b, out=out)


def _cores_at_once(product: float) -> float:
    count, each = cores(), 50
    with ThreadPoolExecutor(count) as pool:

        def many(_: int) -> None:
            torch.set_num_threads(1)
            work = products()
            for _ in range(each):
                work()

        return count * each * product / median_seconds(lambda: list(pool.map(many, range(count))), repeats=3)


def _copy_gbps(size: int, repeats: int) -> float:
    source, target = torch.ones(size // 4), torch.zeros(size // 4)
    return 2 * size / median_seconds(lambda: target.copy_(source), repeats) / 1e9
