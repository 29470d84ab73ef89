"""Tensors within what components take in and return: dicts, NamedTuples and attrs classes of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

TOLERANCE = 1e-4
"""How far float32 results may be apart that differ in nothing but the order of additions, relative to 1 and to them."""


def leaves(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors within a value by where they are, such as `logits.op`; what is no tensor is left out."""
    if isinstance(value, Tensor):
        return {name: value}
    found: dict[str, Tensor] = {}
    for key, entry in _entries(value):
        found |= leaves(entry, f"{name}.{key}" if name else key)
    return found


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a value with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: mapped(entry, change) for key, entry in value.items()}
    if attrs.has(type(value)):
        return attrs.evolve(value, **{key: mapped(entry, change) for key, entry in _entries(value)})
    if isinstance(value, tuple):
        make = getattr(type(value), "_make", type(value))
        return make(mapped(entry, change) for entry in value)
    return value


def cut(value: Any, *where: int | slice | Tensor) -> Any:
    """Return a value with `[where]` of every tensor in it."""
    return mapped(value, lambda tensor: tensor[where])


def copied(value: Any) -> Any:
    """Return a value with copies of its tensors, without their history."""
    return mapped(value, lambda tensor: tensor.detach().clone())


def assert_same(found: Any, expected: Any, what: str, tolerance: float = 0.0) -> None:
    """Fail when the tensors within two values differ, saying which and by how much.

    Args:
        found: What came out.
        expected: What should have.
        what: What they are, and when they have to be the same.
        tolerance: How far apart numbers may be, relative to 1 and to themselves; with 0 they are equal, NaN included.
    """
    here, there = leaves(found), leaves(expected)
    assert here.keys() == there.keys(), f"{what}: there are {_names(here)}, not {_names(there)}"
    for name, value in here.items():
        other, where = there[name].detach(), f"{what}: {name}" if name else what
        value = value.detach()
        assert value.shape == other.shape, f"{where} is {tuple(value.shape)}, not {tuple(other.shape)}"
        if torch.equal(value, other) or torch.allclose(
            value.double(), other.double(), atol=tolerance, rtol=tolerance, equal_nan=True
        ):
            continue
        apart = (value.double() - other.double()).abs()
        size = f"by {apart.max().item():.3g}" if bool(apart.isfinite().all()) else "and not all of it is finite"
        raise AssertionError(f"{where} differs {size}")


def assert_shape(value: Any, shape: tuple[int, ...], what: str) -> None:
    """Fail when something is no tensor of a shape."""
    assert isinstance(value, Tensor), f"{what} is a {type(value).__name__}, not a tensor"
    assert tuple(value.shape) == shape, f"{what} is {tuple(value.shape)}, not {shape}"


def assert_finite(value: Any, what: str) -> None:
    """Fail when a tensor within a value has an entry that is not finite."""
    for name, tensor in leaves(value).items():
        bad = int((~torch.isfinite(tensor)).sum())
        assert not bad, f"{what}: {bad} of {tensor.numel()} numbers{f' in {name}' * bool(name)} are not finite"


@contextmanager
def unchanged(value: Any, what: str) -> Iterator[None]:
    """Fail when what is done within changes a tensor of the value in place."""
    before = copied(value)
    yield
    assert_same(value, before, what)


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


def _entries(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(str(key), entry) for key, entry in value.items()]
    if attrs.has(type(value)):
        return [(entry.name, getattr(value, entry.name)) for entry in attrs.fields(type(value))]
    if isinstance(value, tuple | list):
        return list(zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=True))
    return []


def _names(table: dict[str, Tensor]) -> str:
    return ", ".join(table) or "none"
