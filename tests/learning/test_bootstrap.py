"""The value of the state that a truncated episode ended in depends on that state alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esper_core.learning.trainer import Trainer
from tests.learning.components import ppo_trainer
from tests.learning.conftest import World

LENGTHS = (3, 2)


class Alike(World):
    """Its episodes are cut off after `LENGTHS` steps, whatever the horizon, and look alike in every step."""

    def __init__(self, horizon: int) -> None:
        super().__init__(LENGTHS, horizon, truncate=True)

    def _state(self) -> dict[str, Tensor]:
        return super()._state() | {"clock": torch.full((self.num_envs,), self.t / 9)}


def collected(horizon: int, baseline: str, sampling: int = 0) -> Trainer:
    trainer = ppo_trainer(Alike(horizon), baseline=baseline, normalise_returns=False, lr=0.0, update_epochs=1)
    with torch.no_grad():
        # Operations that differ in value, and of which none is nearly certain.
        trainer.policy.critic.hidden.weight.mul_(5.0)
        trainer.policy.critic.output.weight.mul_(20.0)
    trainer._collector.collect(7)
    if sampling:
        # What stands in padding is drawn anew.
        padding = ~trainer.rollout.valid
        trainer.rollout.actions["op"][padding] = (trainer.rollout.actions["op"][padding] + sampling) % 3
    steps = trainer.rollout.steps()
    trainer._advantages(steps, trainer._evaluate(steps))
    return trainer


@pytest.mark.parametrize("baseline", ["expected", "sampled"])
def test_where_an_episode_is_cut_off_does_not_change_what_follows(baseline: str) -> None:
    early = [collected(9, baseline, sampling) for sampling in range(3)]
    at_horizon = collected(max(LENGTHS), baseline)
    for env, length in enumerate(LENGTHS):
        value = at_horizon.rollout.value[env, length]
        for other in early:
            torch.testing.assert_close(other.rollout.value[env, length], value)
    # It is no single operation's, but the mean of them under the policy.
    steps = at_horizon.rollout.steps()
    old = at_horizon.policy.evaluate_actions(steps.features, steps.masks, None, steps.actions, steps.episode_start)
    by_op, probs = old.values.by_op[1, 2].detach(), old.distribution.op_probs()[1, 2]
    torch.testing.assert_close(at_horizon.rollout.value[1, 2], (probs * by_op).sum())
    assert float((by_op - by_op.mean()).abs().min()) > 1e-3
