"""Where there is no choice there is nothing to learn for the policy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esper_core.contracts.protocols import Masks
from tests.learning.components import ppo_trainer
from tests.learning.conftest import Legal, World


class OnlyLegal(Legal):
    """Only `ops` are legal in the first `steps` of an episode of 6."""

    def __init__(self, *ops: int, steps: int = 6) -> None:
        self.ops, self.steps = list(ops), steps

    def __call__(self, state: dict[str, Tensor]) -> Masks:
        masks = super().__call__(state)
        now = state["clock"] * 6 < self.steps - 0.5
        legal = torch.zeros_like(masks.heads["op"])
        legal[:, self.ops] = True
        op = torch.where(now[:, None], legal, masks.heads["op"])
        return Masks({**masks.heads, "op": op}, masks.slot_given_op & op[..., None])


@pytest.mark.parametrize("ratio_mode", ["per_head", "joint"])
def test_steps_with_one_legal_action_teach_the_policy_nothing(ratio_mode: str) -> None:
    trainer = ppo_trainer(masks=OnlyLegal(0), loss={"ratio_mode": ratio_mode, "value_coefficient": 0.0})
    before = {name: p.detach().clone() for name, p in trainer.policy.network.named_parameters()}
    for update in trainer.run(3):
        assert update.metrics["forced_fraction"] == 1.0 and update.metrics["grad_norm"] == 0.0
        assert update.metrics["policy_loss"] == update.metrics["entropy"] == update.metrics["kl"] == 0.0
        assert update.metrics["passes_done"] == 4.0
    assert all(torch.equal(before[name], p) for name, p in trainer.policy.network.named_parameters())


def test_the_critic_learns_from_steps_with_one_legal_action() -> None:
    trainer = ppo_trainer(masks=OnlyLegal(0))
    before = {name: p.detach().clone() for name, p in trainer.policy.named_parameters()}
    list(trainer.run(2))
    moved = {name for name, p in trainer.policy.named_parameters() if not torch.equal(before[name], p)}
    assert {"critic.output.weight", "network.lstm.weight_hh_l0"} <= moved
    assert not [name for name in moved if "_head" in name]


def test_steps_without_a_choice_count_in_the_denominator_and_in_the_statistics_of_advantages() -> None:
    """Otherwise a policy that can rarely choose would be moved by its few choices as far as by many."""
    trainer = ppo_trainer(World((6,) * 4), OnlyLegal(0, steps=4), loss={"entropy": 0.0}, update_epochs=1)
    (update,) = trainer.run(1)
    ((batch, result),) = trainer.loss.calls
    free = torch.arange(6).expand(4, 6) >= 4
    assert update.metrics["forced_fraction"] == pytest.approx(4 / 6)
    assert float(batch.advantages.mean()) == pytest.approx(0, abs=1e-6)
    assert float(batch.advantages.std()) == pytest.approx(1, abs=1e-5)
    assert abs(float(batch.advantages[free].mean())) > 0.01, "or both would say the same"
    # Every ratio is 1. The operation and, after GROW (1), `what` have a choice; each operation has one legal slot.
    choices = 1 + (batch.actions["op"] == 1).float()
    expected = -float((choices * batch.advantages)[free].sum()) / 24
    assert float(result.metrics["policy_loss"]) == pytest.approx(expected, abs=1e-6)


def test_a_head_of_an_operation_that_is_never_legal_gets_a_gradient_of_exactly_zero() -> None:
    """Neither the surrogate nor the entropy bonus of `what` asks for anything while GROW cannot come up."""
    trainer = ppo_trainer(masks=OnlyLegal(0, 2), loss={"entropy": 0.5}, seed=1)
    before = {name: p.detach().clone() for name, p in trainer.policy.named_parameters()}
    for _ in trainer.run(2):
        for name, p in trainer.policy.named_parameters():
            assert p.grad is not None and (not name.startswith("network.what_head") or not bool((p.grad != 0).any()))
    moved = {name.split(".")[1] for name, p in trainer.policy.named_parameters() if not torch.equal(before[name], p)}
    assert "op_head" in moved and "what_head" not in moved


def test_a_legal_operation_that_was_not_taken_still_explores() -> None:
    """The bonus goes by the probability that a head matters, not by what was drawn: no head starves unseen."""
    options = {"entropy": 0.5, "value_coefficient": 0.0}
    trainers = (ppo_trainer(World((1,)), loss=options, update_epochs=1, seed=seed) for seed in range(20))
    untaken = next(t for t in trainers if list(t.run(1)) and int(t.rollout.actions["op"][0, 0]) != 1)
    gradient = untaken.policy.get_parameter("network.what_head.2.weight").grad
    assert gradient is not None and float(gradient.abs().max()) > 0
