"""What critics alone are told: it reaches their values, and neither network nor policy, and acting needs none of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor

from esper_core.contracts.errors import IncompatiblePlan, PluginError
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_op_conditioned_critic.config import OpConditionedConfig, StateValueConfig
from esper_op_conditioned_critic.op_conditioned import OpConditionedCritic
from esper_op_conditioned_critic.state_value import StateValueCritic
from tests.learning.components import context, ppo_loss
from tests.learning.conftest import SPEC, Net, ResumableWorld, make, train

CRITICS: dict[str, Any] = {
    "op-conditioned-critic": lambda told: OpConditionedCritic(OpConditionedConfig(privileged=told), CONTEXT),
    "state-value": lambda told: StateValueCritic(StateValueConfig(privileged=told), CONTEXT),
}
CONTEXT = evolve(context(Net.latent_dim), privileged=2)


class Telling(ResumableWorld):
    """Pays a part of every reward by a coin that it tells critics alone."""

    def _info(self) -> dict[str, Any]:
        return {"privileged": torch.stack([self.coin, self.coin * self.t / self.horizon], dim=1)}

    def reset(self, **options: Any) -> Any:
        state, info = super().reset(**options)
        self.coin = torch.randint(2, (self.num_envs,), generator=self.generator) * 2.0 - 1.0
        return state, info | self._info()

    def step(self, actions: dict[str, Tensor]) -> Any:
        state, reward, *flags, info = super().step(actions)
        return state, torch.where(reward > 0, reward, 0.0) + self.coin, *flags, info | self._info()


def trainer(told: bool, critic: str = "op-conditioned-critic", **config: Any) -> Trainer:
    torch.manual_seed(1)
    made = CRITICS[critic](told)
    torch.manual_seed(1)
    return make(Telling(), ppo_loss(), policy=Policy(Net(), made, SPEC), **config)


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("bptt", [0, 4])
def test_values_depend_on_it_and_nothing_else_does(critic: str, bptt: int) -> None:
    told = trainer(True, critic, bptt_steps=bptt, update_epochs=2)
    train(told, 2)
    steps = told.rollout.steps()
    seen = steps.features.privileged.clone().requires_grad_()
    assert float(seen.detach().abs().max()) == 1, "the rollout holds what was told"
    features = steps.features._replace(privileged=seen)
    found = told.policy.evaluate_actions(features, steps.masks, steps.state, steps.actions, steps.episode_start)
    everything = sum(value.sum() for value in (*found.logits.values(), *found.state))
    assert torch.autograd.grad(everything, seen, allow_unused=True) == (None,)
    assert torch.autograd.grad(found.values.q_taken.sum(), seen)[0].abs().max() > 0
    told.policy.critic.told.weight.detach().zero_()
    untold = told.policy.evaluate_actions(
        features._replace(privileged=None), steps.masks, steps.state, steps.actions, steps.episode_start
    )
    assert all(torch.equal(found.logits[name], untold.logits[name]) for name in SPEC.names)


def test_a_critic_that_is_told_explains_more_of_what_follows_from_it() -> None:
    plain, told = (train(trainer(value, update_epochs=8, lr=0.01), 30) for value in (False, True))
    last = [[m["explained_variance"] or 0 for _, _, m, _ in found[-10:]] for found in (plain, told)]
    assert sum(last[1]) / 10 > sum(last[0]) / 10 + 0.1
    assert told[0][2]["privileged_effect"] == 0 < (told[-1][2]["privileged_effect"] or 0)
    assert "privileged_effect" not in plain[-1][2]


def test_going_on_is_exact() -> None:
    whole, half, other = trainer(True), trainer(True), trainer(True)
    expected = train(whole, 4)
    train(half, 2)
    other.load_state(half.state())
    assert train(other, 4) == expected[2:]


def test_an_environment_that_tells_something_else_or_nothing_is_named() -> None:
    silent = make(ResumableWorld(), ppo_loss(), policy=Policy(Net(), CRITICS["state-value"](True), SPEC))
    with pytest.raises(PluginError, match=r"info\['privileged'\]"):
        train(silent, 1)
    with pytest.raises(IncompatiblePlan, match="tells critics nothing"):
        StateValueCritic(StateValueConfig(privileged=True), context())
