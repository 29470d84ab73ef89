"""The samples that the hosts of a group see, each host those of its own task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from esper_growth.problems import SPLITS
from esper_growth.protocols import Split, Task


@frozen
class GroupData:
    """The splits of all tasks of a group, one behind the other; a task that several hosts share is there once.

    Attributes:
        splits: By name.
        order: Per host, which of the tasks is its own, phase by phase.
        tasks: How many there are.
    """

    splits: dict[str, Split]
    order: list[list[int]]
    tasks: int

    @classmethod
    def of(cls, tasks: Sequence[Sequence[Task]]) -> GroupData:
        """Return the data of hosts' tasks, phase by phase, all of which have splits of the same sizes."""
        distinct = list({id(task): task for own in tasks for task in own}.values())
        numbers = {id(task): number for number, task in enumerate(distinct)}
        order = [[numbers[id(task)] for task in own] for own in tasks]
        splits = {
            name: Split(
                _joined([getattr(t, name).inputs for t in distinct]),
                _joined([getattr(t, name).targets for t in distinct]),
            )
            for name in SPLITS
        }
        return cls(splits, order, len(distinct))

    def samples(self, split: str) -> int:
        """Return how many samples each host has in a split."""
        return len(self.splits[split].targets) // self.tasks

    def rows(self, split: str, samples: Tensor, phases: Sequence[int]) -> Tensor:
        """Return where samples `[B, n]`, counted within each host's task of a phase, lie in a split, on its device."""
        order = torch.tensor([own[phase] for own, phase in zip(self.order, phases, strict=True)])
        return (samples + order * self.samples(split)).to(self.splits[split].targets.device)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
