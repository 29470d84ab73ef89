"""Ten updates of a policy in an environment that is nobody's, and what they did to it."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from esper_core.learning.trainer import Trainer, Update
from esper_core.plan.plan import Plan
from esper_core.registry.index import Index
from esper_spike_dynamic_slots.practice import make_learner
from esper_testing.case import trainable

UPDATES = 10


@frozen
class Practised:
    """A policy before and after.

    Attributes:
        updates: The updates.
        before: Trainable parameters before the first update, by name.
        trainer: The trainer after the last.
    """

    updates: list[Update]
    before: dict[str, Tensor]
    trainer: Trainer


def practise(plan: Plan, index: Index, num_slots: int) -> Practised:
    """Train a plan's policy for ten updates.

    Raises:
        EsperError: the loss, its gradient or the KL was not finite, or a component broke its contract.
    """
    trainer = make_learner(plan, index, num_slots, plan.seed)
    before = {name: value.detach().clone() for name, value in trainable(trainer.policy).items()}
    return Practised(list(trainer.run(UPDATES)), before, trainer)
