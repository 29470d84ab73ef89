"""The task `mixed`: a family of tasks, so that no schedule of growth is best for all."""

from __future__ import annotations

import random

from attrs import evolve

from esper_core.contracts.protocols import BuildContext
from esper_growth.config import DigitsConfig, MixedTaskConfig, Mnist1dConfig
from esper_growth.families import check_members
from esper_growth.runtime import stable_seed
from esper_growth.tasks.classification import ClassificationTask
from esper_growth.tasks.digits import digits
from esper_growth.tasks.mnist1d import mnist1d

MEMBERS = ("digits", "mnist1d", "mnist1d-shuffled")


class MixedTask:
    """Kind `task`, a family: every instance has data of its own, drawn by its number.

    Training samples are drawn anew for each; so are all curves of `mnist1d`. The validation and test images of
    `digits` are the same for all.
    """

    classes = 10
    axes = (1, 2)

    def __init__(self, config: MixedTaskConfig, context: BuildContext) -> None:
        check_members("task", config.tasks, MEMBERS)
        self._config, self._context = config, evolve(context, parts={})
        options = (config.tasks, config.train_samples, config.noise)
        self.name = "mixed-" + "-".join("+".join(map(str, values)) for values in options) + f"of{config.samples}"
        first = self.draw(0)
        self.train, self.validation, self.test = first.train, first.validation, first.test

    def draw(self, instance: int) -> ClassificationTask:
        """Return the task of an instance."""
        config, draws = self._config, random.Random(stable_seed("task", instance))
        name, train_samples = draws.choice(config.tasks), draws.choice(config.train_samples)
        noise, seed = draws.choice(config.noise), draws.getrandbits(31)
        if name == "digits":
            return digits(DigitsConfig(train_samples=train_samples, seed=seed), self._context)
        curves = Mnist1dConfig(
            shuffle=name != "mnist1d", noise=noise, samples=config.samples, train_samples=train_samples, seed=seed
        )
        return mnist1d(curves, self._context)
