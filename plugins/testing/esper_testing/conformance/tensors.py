"""Tensors within what components take in and return: dicts, NamedTuples and attrs classes of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from esper_core.contracts.tensors import leaves, mapped
from esper_testing.case import trainable

TOLERANCE = 1e-4
"""How far float32 results may be apart that differ in nothing but the order of additions, relative to 1 and to them."""


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
    """Fail when something is not a tensor of a shape."""
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


def assert_reached(module: nn.Module) -> None:
    """Fail when a trainable parameter of a module has no gradient, or one that is 0 everywhere or not finite."""
    gradients = {name: parameter.grad for name, parameter in trainable(module).items()}
    assert gradients, "there is no parameter to train"
    assert_finite({name: value for name, value in gradients.items() if value is not None}, "gradients")
    silent = [name for name, value in gradients.items() if value is None or not value.any()]
    assert not silent, f"no gradient reaches {', '.join(silent)}"


def assert_on(device: str, value: Any) -> None:
    """Fail when a tensor within a value is on another type of device."""
    wrong = [name for name, tensor in leaves(value).items() if tensor.device.type != device]
    assert not wrong, f"given what is on a device, it returns on another: {', '.join(wrong)}"


def assert_dtype(dtype: torch.dtype, value: Any) -> None:
    """Fail when a tensor within a value has another dtype."""
    wrong = [name for name, tensor in leaves(value).items() if tensor.dtype != dtype]
    assert not wrong, f"in {dtype} it returns another dtype: {', '.join(wrong)}"


def _names(table: dict[str, Tensor]) -> str:
    return ", ".join(table) or "none"
