"""Chance: seeded noise for checks to use, and components that depend on anything but their seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from esper_core.registry.index import Index
from esper_testing.case import Case, make_case
from esper_testing.conformance.tensors import assert_same
from esper_testing.randomness import surroundings, untouched_randomness


def assert_repeatable(
    ask: Callable[[], Any], otherwise: Callable[[], Any], what: str, module: nn.Module | None = None
) -> None:
    """Fail when asking gives something else the second time, or draws random numbers.

    Args:
        ask: Returns what has to be the same.
        otherwise: Asked for something else in between.
        what: What is done when asking.
        module: A module that must answer in `train()` as in `eval()`.
    """
    with untouched_randomness(what):
        first = ask()
    otherwise()
    with surroundings(2):
        assert_same(ask(), first, f"{what}, twice the same")
    if module is None:
        return
    was_training = module.training
    for training in (True, False):
        module.train(training)
        found = ask()
        module.train(was_training)
        assert_same(found, first, f"{what} in train() and in eval()")


def assert_seeded(part: Callable[[Case], nn.Module], case: Case, index: Index) -> None:
    """Fail when the first weights of a part follow from anything but the plan's seed."""
    with surroundings(3):
        again = make_case(case.plan, index, case.num_slots)
    assert_same(part(again).state_dict(), part(case).state_dict(), "weights built twice from one seed")


def noise_like(value: Tensor, seed: int = 0) -> Tensor:
    """Return seeded normal noise of the shape, dtype and device of a tensor."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value)


@torch.no_grad()
def stir(module: nn.Module, size: float = 0.1) -> None:
    """Move every weight by seeded noise, as training would: a start at zero hides what a component looks at."""
    for number, parameter in enumerate(module.parameters()):
        parameter.add_(size * noise_like(parameter, number))
