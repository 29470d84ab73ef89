"""Where returns are equal there is nothing to learn, and what there is to learn does not depend on its unit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from esper_core.learning.trainer import Trainer
from tests.learning.components import ppo_trainer
from tests.learning.conftest import World

UPDATES = 20


class Paid(World):
    """Pays as it is told while an episode runs: `pay` takes in whether the operation was right, `[E]`."""

    def __init__(self, pay: Callable[[Tensor], Tensor], length: int, truncate: bool) -> None:
        super().__init__((length,) * 6, truncate=truncate)
        self.pay = pay

    def step(self, actions: dict[str, Tensor]) -> tuple:
        running, right = self.t < self.lengths, actions["op"] == self.cue
        state, _, *rest = super().step(actions)
        return state, torch.where(running, self.pay(right.float()), 0.0), *rest


def learned(pay: Callable[[Tensor], Tensor], length: int = 6, truncate: bool = False, **options: object) -> Trainer:
    return ppo_trainer(Paid(pay, length, truncate), lr=3e-3, **options)


@pytest.mark.parametrize("normalise", [True, False], ids=["normalised", "in-units-of-reward"])
@pytest.mark.parametrize(("reward", "length", "truncate"), [(0.0, 6, False), (0.0, 4, True), (0.1, 1, False)])
def test_equal_returns_leave_the_policy_where_it_was(
    reward: float, length: int, truncate: bool, normalise: bool
) -> None:
    """What the critic gets wrong is no reason to act otherwise, and neither for the heads below the operation."""
    trainer = learned(
        lambda right: torch.full_like(right, reward),
        length,
        truncate,
        loss={"entropy": 0.0, "child_baseline": 1.0},
        normalise_returns=normalise,
    )
    for update in trainer.run(UPDATES):
        assert all(update.metrics[f"entropy/{head}"] > 0.995 for head in ("op", "what"))
        assert update.metrics["return_std"] is None and update.metrics["explained_variance"] is None


def test_returns_of_another_size_are_learned_alike() -> None:
    histories = [
        [update.metrics["entropy/op"] for update in learned(lambda right, u=unit: u * right).run(UPDATES)]
        for unit in (1.0, 2.0**-20)
    ]
    assert histories[0] == histories[1] and histories[0][-1] < 0.8


def test_what_comes_after_nothing_is_learned() -> None:
    """The first updates bring no reward: they neither move the policy nor set the scale of what follows."""
    unit, trainer = 0.0, learned(lambda right: unit * right)
    for update in trainer.run(5):
        assert update.metrics["entropy/op"] > 0.995
    unit = 1e-6
    assert [update.metrics["entropy/op"] for update in trainer.run(5 + UPDATES)][-1] < 0.8
