"""The leave-one-out baseline: unbiased by enumeration, as good as its formula says, and saved exactly.

Two rows play each instance. Groups hold every pair of the actions of test_enumeration, as often as the policy would
take it, beside each offset: a mean over rows is an exact expectation.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from esper_core.learning.leave_one_out import LeaveOneOut
from esper_core.learning.rollout import standardise
from esper_core.policy.policy import ActionOutput, Policy
from esper_op_conditioned_critic.config import OpConditionedConfig
from esper_op_conditioned_critic.op_conditioned import OpConditionedCritic
from tests.learning.components import context, ppo_loss
from tests.learning.conftest import SPEC, ResumableWorld, World, make, train
from tests.learning.test_enumeration import REWARD, TAKEN, Legal, Table, close, true_gradient

OFFSETS = (-2.0, 0.5, 3.0)
ROWS = [(action, offset) for offset in OFFSETS for pair in itertools.product(TAKEN, TAKEN) for action in pair]


class Scripted(Policy):
    def get_action(self, *args: Any, **options: Any) -> ActionOutput:
        output = super().get_action(*args, **options)
        return output._replace(
            actions={name: torch.tensor([taken[i] for taken, _ in ROWS]) for i, name in enumerate(SPEC.names)}
        )


class Offset(World):
    """One step that pays `REWARD` and the offset of the instance."""

    def __init__(self) -> None:
        super().__init__(lengths=(1,) * len(ROWS), horizon=1)

    def step(self, actions: dict[str, Tensor]) -> tuple[Any, ...]:
        state, _, *rest = super().step(actions)
        return state, torch.tensor([REWARD[a] + offset for a, offset in ROWS], dtype=torch.float64), *rest


def bandit(leave_one_out: bool) -> tuple[dict[str, Tensor], Tensor, list[dict[str, float | None]]]:
    """Return gradient in units of reward, advantages and metrics of the second update: β comes from the first."""
    critic = OpConditionedCritic(OpConditionedConfig(), context()).double()
    torch.nn.init.zeros_(critic.output.weight)
    policy = Scripted(Table(), critic, SPEC)
    options = {"normalise_returns": False, "leave_one_out": leave_one_out, "max_grad_norm": 0.0}
    loss = ppo_loss(entropy=0.0, value_coefficient=0.0)
    trainer = make(Offset(), loss, masks=Legal(), policy=policy, repeats=2, lr=0.0, update_epochs=1, **options)
    metrics = [update[2] for update in train(trainer, 2)]
    advantages, valid = trainer.rollout.advantages, trainer.rollout.valid
    _, scale = standardise(advantages, valid, trainer.normaliser.spread)
    return {n: -scale * row.grad for n, row in policy.network.logits.items()}, advantages[:, 0], metrics


def test_on_a_bandit_with_offsets_the_gradient_is_the_same_and_the_variance_as_the_formula_says() -> None:
    plain, before, _ = bandit(leave_one_out=False)
    gradients, after, (first, second) = bandit(leave_one_out=True)
    for name, gradient in true_gradient().items():
        close(plain[name], gradient)
        close(gradients[name], gradient)
    assert first["leave_one_out_weight"] == 0 and 0.8 < (second["leave_one_out_weight"] or 0) < 1
    ratio = float(after.var() / before.var())
    assert ratio == pytest.approx(second["leave_one_out_variance"], rel=0.01) and ratio < 0.35
    # What the critic is worth is not what the others tell.
    assert first["value_rmse"] == second["value_rmse"]


def test_variances_are_those_that_returns_were_drawn_with() -> None:
    generator, others = torch.Generator().manual_seed(0), LeaveOneOut(4)
    drawn = 2.0 * torch.randn(20_000, 1, generator=generator) + 3.0 * torch.randn(20_000, 4, generator=generator)
    assert not others.shift(drawn.flatten()).any(), "nothing is known before the first update"
    others.learn()
    assert (others.between, others.within) == (pytest.approx(4, rel=0.05), pytest.approx(9, rel=0.05))
    assert others.weight == pytest.approx(4 / (4 + 9 / 3), rel=0.05)
    left = drawn.flatten() - others.shift(drawn.flatten())
    assert float(left.var() / drawn.var()) == pytest.approx(others.variance_ratio, rel=0.02)


def test_going_on_is_exact() -> None:
    kind = {"repeats": 2, "leave_one_out": True}
    whole, half, other = (make(ResumableWorld(), **kind) for _ in range(3))
    expected = train(whole, 4)
    train(half, 2)
    other.load_state(half.state())
    assert train(other, 4) == expected[2:]
