"""Global random numbers: whether something draws from them, which makes it depend on whatever else does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_STREAMS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch": (torch.get_rng_state, torch.set_rng_state),
    "numpy": (np.random.get_state, np.random.set_state),
    "random": (random.getstate, random.setstate),
}


@contextmanager
def untouched_randomness(what: str) -> Iterator[None]:
    """Fail when the global random numbers of torch, numpy or Python move within; afterwards they are as before.

    Raises:
        AssertionError: some have moved; `what` names who did it.
    """
    before = {name: read() for name, (read, _) in _STREAMS.items()}
    try:
        yield
        moved = [name for name, (read, _) in _STREAMS.items() if _plain(read()) != _plain(before[name])]
        assert not moved, f"{what} draws from or seeds the global random numbers of {' and '.join(moved)}"
    finally:
        for name, (_, write) in _STREAMS.items():
            write(before[name])


def _plain(state: Any) -> Any:
    """Return a state with arrays as lists, which can be compared."""
    if isinstance(state, tuple):
        return tuple(_plain(part) for part in state)
    return state.tolist() if hasattr(state, "tolist") else state
