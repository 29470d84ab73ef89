"""Checkpoints of a policy for every slot count, written and loaded as those of a run are."""

from __future__ import annotations

from pathlib import Path

import torch
from attrs import define, field, frozen
from torch import Tensor

from esper_core.composition.plan import Plan, takes_any_slots
from esper_core.contracts.tensors import mapped
from esper_core.learning.rollout import Steps
from esper_core.learning.trainer import Trainer
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import load_checkpoint, save_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_spike_dynamic_slots.practice import make_learner
from esper_testing.case import planned_for


@frozen
class Saved:
    """A checkpoint.

    Attributes:
        path: Its folder.
        steps: Steps of the rollout that the policy had learned from when it was saved.
        log_prob: Their log-probabilities under the saved policy, per head `[E, T]`.
    """

    path: Path
    steps: Steps
    log_prob: dict[str, Tensor]


@define
class Shelf:
    """Checkpoints of a plan's policy by slot count, each written to `folder` when it is first asked for."""

    plan: Plan
    index: Index
    folder: Path
    _saved: dict[int, Saved] = field(factory=dict, init=False)
    _opened: dict[int, Trainer] = field(factory=dict, init=False)

    @property
    def portable(self) -> bool:
        """Whether the network says that its weights fit any number of slots."""
        return takes_any_slots(self.plan, self.index)

    def saved(self, num_slots: int) -> Saved:
        """Return the checkpoint of a policy that was trained with `num_slots` slots for one update."""
        if num_slots not in self._saved:
            plan = planned_for(self.plan, num_slots)
            trainer = make_learner(plan, self.index, num_slots)
            run = RunDirectory.create(self.folder, plan, self.index)
            (update,) = trainer.run(1)
            path = save_checkpoint(run, trainer, update)
            steps = mapped(trainer.rollout.steps(), torch.clone)
            self._saved[num_slots] = Saved(path, steps, log_prob(trainer, steps))
        return self._saved[num_slots]

    def load(self, saved_slots: int, num_slots: int) -> Trainer:
        """Return a trainer of `num_slots` slots, resumed from the checkpoint of `saved_slots`.

        Raises:
            CheckpointMismatch: it does not fit.
        """
        path = self.saved(saved_slots).path
        if num_slots not in self._opened:
            self._opened[num_slots] = make_learner(self.plan, self.index, num_slots)
        trainer = self._opened[num_slots]
        load_checkpoint(path, trainer, planned_for(self.plan, num_slots), self.index)
        return trainer


@torch.no_grad()
def log_prob(trainer: Trainer, steps: Steps) -> dict[str, Tensor]:
    """Return the log-probabilities of stored steps under a trainer's policy, per head `[E, T]`."""
    evaluation = trainer.policy.evaluate_actions(steps.features, steps.masks, None, steps.actions, steps.episode_start)
    return evaluation.log_prob
