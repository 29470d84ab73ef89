"""What a few updates did to a policy."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from esper_core.learning.trainer import Trainer, Update
from esper_testing.case import trainable

UPDATES = 10
"""Updates in the practice environment; in the plan's own environment there is one."""


@frozen
class Trained:
    """A policy before and after.

    Attributes:
        updates: The updates.
        before: Trainable parameters before the first update, by name.
        trainer: The trainer after the last.
    """

    updates: list[Update]
    before: dict[str, Tensor]
    trainer: Trainer

    @property
    def still(self) -> list[str]:
        """Names of the trainable parameters that did not move."""
        now = trainable(self.trainer.policy)
        return [name for name, value in self.before.items() if value.equal(now[name])]


def train(trainer: Trainer, updates: int) -> Trained:
    """Train a policy for some updates.

    Raises:
        EsperError: the loss, its gradient or the KL was not finite, or a component broke its contract.
    """
    before = {name: value.detach().clone() for name, value in trainable(trainer.policy).items()}
    return Trained(list(trainer.run(trainer.updates_done + updates)), before, trainer)
