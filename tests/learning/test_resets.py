"""Episodes that share a sequence are learned from as if each had its own."""

from __future__ import annotations

import pytest
import torch
from attrs import evolve
from torch import Tensor

from esper_core.contracts.protocols import Features, Masks
from esper_core.learning.rollout import Sequences
from tests.learning.components import ppo_trainer
from tests.learning.conftest import World

T = 5


def joined(batch: Sequences) -> Sequences:
    """Return two sequences `[2, T, ...]` as one of `[1, 2T, ...]`."""

    def join(value: Tensor) -> Tensor:
        return value.reshape(1, 2 * T, *value.shape[2:])

    def join_all(table: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: join(value) for name, value in table.items()}

    return evolve(
        batch,
        features=Features(join(batch.features.obs), join_all(batch.features.indices)),
        masks=Masks(join_all(batch.masks.heads), join(batch.masks.slot_given_op)),
        actions=join_all(batch.actions),
        episode_start=join(batch.episode_start),
        valid=join(batch.valid),
        old_log_prob=join_all(batch.old_log_prob),
        old_logits=join_all(batch.old_logits),
        advantages=join(batch.advantages),
        op_advantage=join(batch.op_advantage),
        returns=join(batch.returns),
    )


@pytest.mark.parametrize("lengths", [(5, 5), (3, 5)], ids=["full", "padded"])
def test_one_sequence_with_a_reset_is_worth_two_sequences(lengths: tuple[int, ...]) -> None:
    """Loss, KL and every gradient agree: the state is zeroed before a start (Hausknecht & Stone 2015)."""
    trainer = ppo_trainer(World(lengths, horizon=T), dtype=torch.float64, update_epochs=1)
    for _ in trainer.run(1):
        pass
    ((batch, _),) = trainer.loss.calls
    assert int(joined(batch).episode_start.sum()) == 2

    def outcome(part: Sequences) -> list[Tensor]:
        policy = trainer.policy
        evaluation = policy.evaluate_actions(part.features, part.masks, None, part.actions, part.episode_start)
        result = trainer.loss(part, evaluation)
        return [result.loss, result.kl, *torch.autograd.grad(result.loss, list(policy.parameters()))]

    apart, together = outcome(batch), outcome(joined(batch))
    assert float(apart[1]) > 1e-9, "the policy has moved since it acted"
    for mine, other in zip(apart, together, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)
    forgotten = outcome(evolve(joined(batch), episode_start=torch.zeros(1, 2 * T, dtype=torch.bool)))
    assert not torch.allclose(forgotten[0], apart[0], rtol=1e-6)
