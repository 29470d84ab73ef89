"""Measuring again and again: medians, and works that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

Work = Callable[[], object]


def side_by_side(works: Mapping[str, Work], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Return the seconds of every repeat of each work; they take turns, so that a busy moment meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(warm_up + repeats):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def median_seconds(work: Work, repeats: int, warm_up: int = 1) -> float:
    """Return the median time of a work."""
    return statistics.median(side_by_side({"work": work}, repeats, warm_up)["work"])


def median_ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    """Return the median of slower ÷ faster over the turns they took together."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread within an operation, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
