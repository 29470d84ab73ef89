"""What comes after the end of an episode changes nothing that is learned or said, not by one bit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from esper_core.contracts.protocols import Masks
from esper_core.learning.trainer import Trainer
from esper_testing.states import random_masks
from tests.learning.components import ppo_trainer
from tests.learning.conftest import SPEC, Legal, World

LENGTHS = (6, 5, 3, 1)


class Messy(World):
    """Goes on saying wild things about episodes that have ended: observations, rewards, flags and what is legal."""

    def __init__(self, truncate: bool, scale: float) -> None:
        super().__init__(LENGTHS, truncate=truncate)
        self.scale = scale
        self.garbage = torch.Generator().manual_seed(5)

    def step(self, actions: dict[str, Tensor]) -> tuple[Any, ...]:
        over = self.t >= self.lengths
        state, reward, terminated, truncated, info = super().step(actions)
        wild = self.scale * torch.randn(self.num_envs, generator=self.garbage)
        # The state that a truncated step ended in is needed: its value stands for what would have followed.
        unseen = over if self.truncate else self.t >= self.lengths
        for name in ("clock", "cue", "noise"):
            state[name] = torch.where(unseen, wild, state[name])
        state["kind"] = torch.where(unseen[:, None], torch.randint(-1, 3, (2,), generator=self.garbage), state["kind"])
        flags = torch.rand(2, self.num_envs, generator=self.garbage) < 0.5
        reward = torch.where(over, wild, reward)
        terminated, truncated = torch.where(over, flags[0], terminated), torch.where(over, flags[1], truncated)
        return {**state, "unseen": unseen}, reward, terminated, truncated, info


class MessyLegal(Legal):
    """Anything may be legal where nobody looks."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(6)

    def __call__(self, state: dict[str, Tensor]) -> Masks:
        clean = super().__call__(state)
        unseen = state.get("unseen", torch.zeros(len(LENGTHS), dtype=torch.bool))
        wild = random_masks(SPEC, (len(LENGTHS),), self.generator)
        heads = {name: torch.where(unseen[:, None], wild.heads[name], mask) for name, mask in clean.heads.items()}
        return Masks(heads, torch.where(unseen[:, None, None], wild.slot_given_op, clean.slot_given_op))


def told(trainer: Trainer, updates: int = 3) -> tuple[list[dict[str, float | None]], dict[str, Tensor]]:
    metrics = [update.metrics for update in trainer.run(updates)]
    gradients = {name: p.grad for name, p in trainer.policy.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    return metrics, gradients


@pytest.mark.parametrize("scale", [1e6, math.nan])
@pytest.mark.parametrize("truncate", [False, True], ids=["terminated", "truncated"])
def test_training_does_not_see_what_follows_an_end(truncate: bool, scale: float) -> None:
    """Metrics, gradients and parameters of several updates are bit for bit those without the garbage."""
    clean = ppo_trainer(World(LENGTHS, truncate=truncate), loss={"child_baseline": 1.0})
    messy = ppo_trainer(Messy(truncate, scale), MessyLegal(), loss={"child_baseline": 1.0})
    (metrics, gradients), (messy_metrics, messy_gradients) = told(clean), told(messy)
    rollout = messy.rollout
    assert not bool(((rollout.terminated | rollout.truncated) & ~rollout.valid).any())
    assert messy_metrics == metrics
    for name, gradient in gradients.items():
        assert torch.equal(gradient, messy_gradients[name]), name
    for (name, mine), other in zip(clean.policy.state_dict().items(), messy.policy.state_dict().values(), strict=True):
        assert torch.equal(mine, other), name
