"""The task `drift`: a family of tasks that change while a host trains, so that it may matter when a seed is grown."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import cast

import torch
from attrs import evolve, frozen
from torch import Tensor

from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import BuildContext
from esper_growth.config import DriftConfig, Mnist1dConfig
from esper_growth.protocols import Change, Split, Task
from esper_growth.runtime import stable_seed
from esper_growth.tasks.classification import ClassificationTask
from esper_growth.tasks.mnist1d import LENGTH, mnist1d

CHANGES = ("classes", "permutation", "order")
FIRST_CLASSES = 5


@frozen
class DriftingTask(ClassificationTask):
    """A task and what becomes of it."""

    changes: tuple[Change, ...]


class DriftTask:
    """Kind `task`, a family: curves as in `mnist1d`, which change in one way at an epoch that the number decides.

    `classes`: half of the classes, and from then on all; until then every curve of these is there about twice.
    `permutation`: the points of all curves are in one random order, and from then on in another.
    `order`: the points are in a random order, and from then on in their own: neighbours begin to mean something.

    The curves themselves stay, each in its split. Kind, epoch, curves, classes and orders are drawn one from the other
    without looking, so the first says nothing about the second.
    """

    classes = 10

    def __init__(self, config: DriftConfig, context: BuildContext) -> None:
        unknown = sorted(set(config.changes) - set(CHANGES))
        if unknown or not config.changes:
            raise UserError(
                f"task.changes={list(config.changes)}: the task 'drift' changes in one of {', '.join(CHANGES)}.",
                hint=f"Leave out {', '.join(unknown)}." if unknown else "Name one at least.",
            )
        self._config, self._context = config, evolve(context, parts={})
        options = (config.changes, (config.earliest, config.latest), (config.train_samples, config.samples))
        parts = ("+".join(map(str, values)) for values in (*options, (f"{config.noise:g}",)))
        self.name = "drift-" + "-".join(parts)
        self.last_change = config.latest
        first = self.draw(0)
        self.train, self.validation, self.test, self.changes = first.train, first.validation, first.test, first.changes

    def draw(self, instance: int) -> DriftingTask:
        """Return the task of an instance."""
        config, draws = self._config, random.Random(stable_seed("drift", instance))
        kind, epoch = draws.choice(config.changes), draws.randint(config.earliest, config.latest)
        seed, first = draws.getrandbits(31), sorted(draws.sample(range(self.classes), FIRST_CLASSES))
        orders = [draws.sample(range(LENGTH), LENGTH) for _ in range(2)]
        curves = mnist1d(
            Mnist1dConfig(noise=config.noise, samples=config.samples, train_samples=config.train_samples, seed=seed),
            self._context,
        )
        if kind == "classes":
            before, after = _of_classes(curves, first), curves
        else:
            before = _in_order(curves, orders[0])
            after = curves if kind == "order" else _in_order(curves, orders[1])
        return DriftingTask(
            name=f"drift-{kind}@{epoch}-{curves.name}i{instance}",
            classes=self.classes,
            train=before.train,
            validation=before.validation,
            test=before.test,
            changes=(Change(epoch, cast(Task, evolve(after, name=f"{kind}-{curves.name}i{instance}"))),),
            label=f"drift-{kind}",
        )


def _of_classes(task: ClassificationTask, classes: Sequence[int]) -> ClassificationTask:
    """Return a task with samples of some classes alone, repeated from the first on until there are as many."""

    def few(split: Split) -> Split:
        own = torch.isin(split.targets, torch.tensor(classes, device=split.targets.device)).nonzero().flatten()
        if not len(own):
            raise UserError(
                f"None of {len(split.targets)} curves is of the classes {list(classes)}, which come first.",
                hint="Raise task.train_samples or task.samples.",
            )
        rows: Tensor = own[torch.arange(len(split.targets), device=own.device) % len(own)]
        return Split(split.inputs[rows], split.targets[rows])

    return _each(task, few)


def _in_order(task: ClassificationTask, order: Sequence[int]) -> ClassificationTask:
    """Return a task with the points of all samples in another order."""
    return _each(task, lambda split: Split(split.inputs[..., order].contiguous(), split.targets))


def _each(task: ClassificationTask, change: Callable[[Split], Split]) -> ClassificationTask:
    return evolve(task, train=change(task.train), validation=change(task.validation), test=change(task.test))
