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
        order: Per host, which of the tasks is its own, int64 `[n]`.
        tasks: How many there are.
    """

    splits: dict[str, Split]
    order: Tensor
    tasks: int

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> GroupData:
        """Return the data of hosts' tasks, all of which have splits of the same sizes."""
        distinct = list({id(task): task for task in tasks}.values())
        order = [next(i for i, other in enumerate(distinct) if other is task) for task in tasks]
        splits = {
            name: Split(
                _joined([getattr(t, name).inputs for t in distinct]),
                _joined([getattr(t, name).targets for t in distinct]),
            )
            for name in SPLITS
        }
        return cls(splits, torch.tensor(order), len(distinct))

    def samples(self, split: str) -> int:
        """Return how many samples each host has in a split."""
        return len(self.splits[split].targets) // self.tasks

    def rows(self, split: str, samples: Tensor) -> Tensor:
        """Return where samples `[B, n]`, counted within each host's own task, lie in a split, on its device."""
        return (samples + self.order * self.samples(split)).to(self.splits[split].targets.device)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
