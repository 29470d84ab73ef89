"""Chance: noise from a seed for checks to use, and finding out who draws from anything else."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from esper_testing.conformance.tensors import assert_same


def assert_repeatable(ask: Callable[[], Any], otherwise: Callable[[], Any], what: str) -> Any:
    """Fail when asking gives something else the second time, or draws random numbers.

    Args:
        ask: Returns what has to be the same.
        otherwise: Asked for something else in between.
        what: What is done when asking.

    Returns:
        What asking gave.
    """
    with surroundings(1), no_draws(what):
        first = ask()
    otherwise()
    with surroundings(2):
        assert_same(ask(), first, f"{what}, twice the same")
    return first


@contextmanager
def surroundings(seed: int) -> Iterator[None]:
    """Seed what unseeded components draw from, torch, numpy and Python, and restore it afterwards."""
    state, legacy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(legacy)


@contextmanager
def no_draws(what: str) -> Iterator[None]:
    """Fail when what is done within draws from torch's, numpy's or Python's own random numbers."""

    def states() -> dict[str, Any]:
        return {
            "torch": torch.get_rng_state().numpy().tobytes(),
            "numpy": repr(np.random.get_state()),
            "Python": random.getstate(),
        }

    before = states()
    yield
    drawn = [name for name, state in states().items() if state != before[name]]
    assert not drawn, f"{what} draws from {' and '.join(drawn)}'s own random numbers, which no seed of a plan reaches"


def noise_like(value: Tensor, seed: int = 0) -> Tensor:
    """Return seeded normal noise of the shape, dtype and device of a tensor."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value)


@torch.no_grad()
def stir(module: nn.Module, size: float = 0.1) -> None:
    """Move every weight by seeded noise, as training would: a start at zero hides what a component looks at."""
    for number, parameter in enumerate(module.parameters()):
        parameter.add_(size * noise_like(parameter, number))
