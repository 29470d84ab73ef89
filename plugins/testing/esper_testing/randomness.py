"""Global random numbers: whether something draws from them, which makes it depend on whatever else does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

UNUSUAL = 1_982_451_653
"""A seed that nobody takes, so that seeding is noticed too."""


class _Stream(NamedTuple):
    read: Callable[[], Any]
    write: Callable[[Any], object]
    seed: Callable[[int], object]


_STREAMS = {
    # Not torch.manual_seed, which would restart the streams of every GPU.
    "torch": _Stream(torch.get_rng_state, torch.set_rng_state, torch.default_generator.manual_seed),
    "numpy": _Stream(np.random.get_state, np.random.set_state, np.random.seed),
    "random": _Stream(random.getstate, random.setstate, random.seed),
}


@contextmanager
def surroundings(seed: int) -> Iterator[None]:
    """Seed the global random numbers of torch, numpy and Python; afterwards they are as before."""
    before = {name: stream.read() for name, stream in _STREAMS.items()}
    for stream in _STREAMS.values():
        stream.seed(seed)
    try:
        yield
    finally:
        for name, stream in _STREAMS.items():
            stream.write(before[name])


@contextmanager
def untouched_randomness(what: str) -> Iterator[None]:
    """Fail when the global random numbers of torch, numpy or Python move within; afterwards they are as before.

    Raises:
        AssertionError: some have moved; `what` names who did it.
    """
    with surroundings(UNUSUAL):
        expected = {name: _plain(stream.read()) for name, stream in _STREAMS.items()}
        yield
        moved = [name for name, stream in _STREAMS.items() if _plain(stream.read()) != expected[name]]
        assert not moved, f"{what} draws from or seeds the global random numbers of {' and '.join(moved)}"


def _plain(state: Any) -> Any:
    """Return a state with arrays as lists, which can be compared."""
    if isinstance(state, tuple):
        return tuple(_plain(part) for part in state)
    return state.tolist() if hasattr(state, "tolist") else state
