"""What each term of the installed loss reaches in the installed network and critic."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor

from esper_core.contracts.protocols import Features, Masks
from esper_core.learning.rollout import Sequences
from esper_core.learning.trainer import Trainer
from tests.learning.components import ppo_loss, ppo_trainer
from tests.learning.conftest import SPEC, Legal, World

TERMS = {
    "policy": {"entropy": 0.0, "value_coefficient": 0.0},
    "value": {"entropy": 0.0, "value_coefficient": 1.0},
    "entropy": {"entropy": 1.0, "value_coefficient": 0.0},
}


class AllSlotsLegal(Legal):
    """Every operation on slots is legal on both."""

    def __call__(self, state: dict[str, Tensor]) -> Masks:
        masks = super().__call__(state)
        return Masks(masks.heads, torch.tensor([[False] * 2, [True] * 2, [True] * 2]).expand_as(masks.slot_given_op))


@pytest.fixture(scope="module")
def played() -> tuple[Trainer, Sequences]:
    """Return a trainer after an update, and what it learned from; the policy has moved since it acted."""
    trainer = ppo_trainer(World((6,) * 8), AllSlotsLegal(), dtype=torch.float64, update_epochs=1)
    list(trainer.run(1))
    ((batch, _),) = trainer.loss.calls
    return trainer, batch


def term(trainer: Trainer, batch: Sequences, **options: Any) -> Tensor:
    """Return the loss of a batch of which only the terms in `options` count."""
    evaluation = trainer.policy.evaluate_actions(batch.features, batch.masks, None, batch.actions, batch.episode_start)
    return ppo_loss(**options)(batch, evaluation).loss


@pytest.mark.parametrize("name", TERMS)
def test_each_term_reaches_all_it_should_and_nothing_else(played: tuple[Trainer, Sequences], name: str) -> None:
    """The probabilities in the expected baseline are constants, so regression never moves the policy's heads."""
    trainer, batch = played
    if name != "policy":  # no option switches the surrogate off, but advantages of 0 do
        batch = evolve(batch, advantages=torch.zeros_like(batch.advantages))
    parameters = dict(trainer.policy.named_parameters())
    gradients = torch.autograd.grad(term(trainer, batch, **TERMS[name]), list(parameters.values()))
    reached = {key for key, gradient in zip(parameters, gradients, strict=True) if bool((gradient != 0).any())}
    heads = {key for key in parameters if "_head." in key}
    critic = {key for key in parameters if key.startswith("critic.")}
    trunk = set(parameters) - heads - critic
    assert len(trunk) >= 9 and len(heads) == 4 * len(SPEC.heads) and len(critic) == 4
    assert reached == (trunk | critic if name == "value" else trunk | heads)


@pytest.mark.parametrize("name", TERMS)
def test_the_last_step_reaches_the_first_through_the_recurrence_but_not_across_a_reset(
    played: tuple[Trainer, Sequences], name: str
) -> None:
    trainer, batch = played
    obs = batch.features.obs.clone().requires_grad_()
    last = torch.zeros_like(batch.valid)
    last[:, -1] = True
    for reset in (None, 3):
        start = batch.episode_start.clone()
        if reset is not None:
            start[:, reset] = True
        part = evolve(
            batch, features=Features(obs, batch.features.indices), episode_start=start, valid=batch.valid & last
        )
        (gradient,) = torch.autograd.grad(term(trainer, part, **TERMS[name]), obs)
        assert bool((gradient[:, -1] != 0).any())
        if reset is None:
            assert bool((gradient[:, 0] != 0).any())
        else:
            assert bool((gradient[:, :reset] == 0).all()) and bool((gradient[:, reset] != 0).any())
