"""The value of the state that a truncated episode ended in depends on that state, and on what went before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esper_core.contracts.tensors import mapped
from esper_core.learning.trainer import Trainer
from tests.learning.components import ppo_trainer
from tests.learning.conftest import World

LENGTHS = (3, 2)


class Alike(World):
    """Its episodes are cut off after `lengths` steps, whatever the horizon, and look alike in every step."""

    def __init__(self, lengths: tuple[int, ...], horizon: int) -> None:
        super().__init__(lengths, horizon, truncate=True)

    def _state(self) -> dict[str, Tensor]:
        return super()._state() | {"clock": torch.full((self.num_envs,), self.t / 9)}


def collected(lengths: tuple[int, ...], horizon: int, baseline: str) -> Trainer:
    world = Alike(lengths, horizon)
    trainer = ppo_trainer(world, baseline=baseline, normalise_returns=False, lr=0.0, update_epochs=1)
    with torch.no_grad():
        # Operations that differ in value, and of which none is nearly certain.
        trainer.policy.critic.hidden.weight.mul_(5.0)
        trainer.policy.critic.output.weight.mul_(20.0)
    trainer._collector.collect(7)
    return trainer


@pytest.mark.parametrize("baseline", ["expected", "sampled"])
def test_where_an_episode_is_cut_off_its_value_is_what_it_would_be_if_it_went_on(baseline: str) -> None:
    longer = collected((5, 5), 5, baseline)
    steps = longer.rollout.steps()
    with torch.no_grad():
        old = longer._evaluate(steps)
    for horizon in (max(LENGTHS), 9):
        rollout = collected(LENGTHS, horizon, baseline).rollout
        for env, length in enumerate(LENGTHS):
            found = rollout.bootstrap[env, length - 1]
            torch.testing.assert_close(found, old.state_value[env, length])
            seen = mapped((steps.features, steps.masks), lambda value: value[:, length])  # noqa: B023
            with torch.no_grad():
                forgetful = longer.policy.value(*seen)[env]
            assert float((found - forgetful).abs()) > 1e-3, "or nothing is remembered"
    # It is no single operation's, but the mean of them under the policy.
    by_op, probs = old.values.by_op[1, 2].detach(), old.distribution.op_probs()[1, 2]
    torch.testing.assert_close(rollout.bootstrap[1, 1], (probs * by_op).sum())
    assert float((by_op - by_op.mean()).abs().min()) > 1e-3
