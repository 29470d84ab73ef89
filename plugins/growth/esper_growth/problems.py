"""What an instance trains: a task and a host, drawn where these are families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from attrs import define, field, frozen
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import guarded
from esper_growth.builder import ModuleBuilder
from esper_growth.protocols import Blueprint, Host, Split, Task, changes_of

SPLITS = ("train", "validation", "test")

KEPT = 128
"""Problems that are kept in memory, so that a task that draws its data draws them once."""


@frozen
class Phase:
    """What a host trains on from an epoch on.

    Attributes:
        epoch: The first epoch.
        task: The task.
        splits: The task's samples by name, each tensor in one piece of memory.
    """

    epoch: int
    task: Task
    splits: Mapping[str, Split]

    @classmethod
    def of(cls, epoch: int, task: Task) -> Phase:
        """Return the phase that begins at an epoch."""
        return cls(epoch, task, {name: in_one_piece(getattr(task, name)) for name in SPLITS})


@frozen
class Problem:
    """A task, and the builder of its hosts. Hosts of equal `alike` can train as one network.

    Attributes:
        task: The task, as it is at first.
        builder: Builds hosts and seeds.
        phases: What the task is, from epoch 0 on.
    """

    task: Task
    builder: ModuleBuilder
    phases: tuple[Phase, ...]

    def phase(self, epoch: int) -> int:
        """Return which phase an epoch is in."""
        return sum(phase.epoch <= epoch for phase in self.phases) - 1

    def splits(self, epoch: int) -> Mapping[str, Split]:
        """Return the samples of an epoch by split."""
        return self.phases[self.phase(epoch)].splits

    def measured(self, trained: int) -> Mapping[str, Split]:
        """Return the samples that a host is measured on after some epochs: those of the last of them."""
        return self.splits(max(trained - 1, 0))

    @property
    def alike(self) -> tuple[object, ...]:
        """What hosts must share to train side by side: architecture, shape of a sample, and sizes of the splits."""
        return (self.builder.name, *_dimensions(self.task))

    @property
    def cost(self) -> float:
        """What an epoch of the bare host costs, in forward passes of a sample times their operations."""
        return self.builder.host_flops * (3 * len(self.task.train.targets) + len(self.task.validation.targets))


@define
class Problems:
    """The problem of every instance.

    Attributes:
        task: A task, or a family of tasks, which has a method `draw(instance)`.
        host: A host, or a family of hosts, likewise.
        blueprints: Blueprints by label.
        num_slots: N.
    """

    task: Task
    host: Host
    blueprints: Mapping[str, Blueprint]
    num_slots: int
    _kept: dict[int, Problem] = field(factory=dict)
    _builders: dict[tuple[object, ...], ModuleBuilder] = field(factory=dict)

    def at(self, instance: int) -> Problem:
        """Return the problem of an instance."""
        if instance not in self._kept:
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            task, host = drawn(self.task, instance), drawn(self.host, instance)
            sample = task.train.inputs[:1]
            key = (host.name, *sample.shape, task.classes)
            if key not in self._builders:
                self._builders[key] = ModuleBuilder(host, self.blueprints, self.num_slots, sample, task.classes)
            self._kept[instance] = Problem(task, self._builders[key], _phases(task))
        return self._kept[instance]

    @property
    def legal(self) -> list[str]:
        """Labels of the blueprints that hosts of this topology may grow."""
        return [label for label, part in self.blueprints.items() if self.host.topology in part.topologies]

    def modules(self, instance: int) -> frozenset[str]:
        """Return the modules of what an instance trains, and of the families that it was drawn from."""
        problem = self.at(instance)
        parts = (self.task, self.host, problem.builder.architecture, *(phase.task for phase in problem.phases))
        return frozenset(type(part).__module__ for part in parts)

    def shares(self, instances: Sequence[int], count: int) -> list[list[int]]:
        """Return positions of instances in `count` shares that cost about as much, hosts that are alike together.

        None is empty. Where all cost the same, shares are of equal size and in order.
        """
        rank = {alike: number for number, alike in enumerate(dict.fromkeys(self.at(i).alike for i in instances))}
        order = sorted(range(len(instances)), key=lambda position: rank[self.at(instances[position]).alike])
        costs = [self.at(instances[position]).cost or 1.0 for position in order]
        total, before = sum(costs), 0.0
        shares: list[list[int]] = [[] for _ in range(count)]
        for number, (position, cost) in enumerate(zip(order, costs, strict=True)):
            # By where its middle lies; but each share needs one, and there must be one left for each that follows.
            share = int((before + cost / 2) / total * count)
            filled = next((index for index, found in enumerate(shares) if not found), count)
            left = len(order) - number
            share = min(max(share, count - left), filled, count - 1)
            shares[share].append(position)
            before += cost
        return shares

    def alike(self, instances: Sequence[int]) -> list[list[int]]:
        """Return positions of instances, those together whose hosts can train side by side."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for position, instance in enumerate(instances):
            groups.setdefault(self.at(instance).alike, []).append(position)
        return list(groups.values())


def described(problems: Sequence[Problem]) -> dict[str, Tensor]:
    """Return the state fields that say what is trained: int64 `[E]`, and `channels [E, N]`."""
    return {
        "host_parameters": torch.tensor([problem.builder.host_parameters for problem in problems]),
        "train_samples": torch.tensor([len(problem.task.train.targets) for problem in problems]),
        "axes": torch.tensor([problem.task.train.inputs.dim() - 2 for problem in problems]),
        "channels": torch.tensor([[shape[0] for shape in problem.builder.slot_shapes] for problem in problems]),
    }


def changing(problems: Sequence[Problem], epochs: Tensor) -> Tensor:
    """Return whose task is another in an epoch, int64 `[E]`, than in the one before, bool `[E]`."""
    pairs = zip(problems, epochs.tolist(), strict=True)
    return torch.tensor([any(phase.epoch == epoch for phase in problem.phases[1:]) for problem, epoch in pairs])


def _phases(task: Task) -> tuple[Phase, ...]:
    """Return what a task is from epoch 0 on.

    Raises:
        PluginError: its changes are not in order, or change the shape of what is trained.
    """
    phases = [Phase.of(0, task)]
    for change in changes_of(task):
        if change.epoch <= phases[-1].epoch:
            raise PluginError(
                f"The task '{task.name}' changes at epoch {change.epoch}, not after epoch {phases[-1].epoch}.",
                hint="`changes` must be in order of their epochs, which are above 0.",
            )
        if _dimensions(change.task) != _dimensions(task):
            raise PluginError(
                f"The task '{task.name}' has (sample, classes, samples per split) {_dimensions(task)}, and from epoch "
                f"{change.epoch} on {_dimensions(change.task)}.",
                hint="A change keeps shape, classes and sizes.",
            )
        phases.append(Phase.of(change.epoch, change.task))
    return tuple(phases)


def _dimensions(task: Task) -> tuple[object, ...]:
    """Return shape of a sample, number of classes, and samples in each split."""
    sizes = (len(getattr(task, name).targets) for name in SPLITS)
    return (tuple(task.train.inputs.shape[1:]), task.classes, *sizes)


def in_one_piece(split: Split) -> Split:
    """Return the same samples, copied where their tensors do not lie in one piece of memory."""
    inputs, targets = split.inputs.contiguous(), split.targets.contiguous()
    return split if inputs is split.inputs and targets is split.targets else Split(inputs, targets)


def drawn(part: Any, instance: int) -> Any:
    """Return what a family draws for an instance; what is no family is the same for all."""
    if not hasattr(part, "draw"):
        return part
    with guarded(f"The family '{part.name}'", f"drawing what instance {instance} trains"):
        return part.draw(instance)
