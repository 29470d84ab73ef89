"""Hosts of a plan in the runtime that it chooses, with some slots of every host occupied alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from esper_core.composition.build import build_parts
from esper_growth.actions import Algorithm
from esper_growth.choice import choose
from esper_growth.config import GrowthConfig
from esper_growth.model import SeedSetting
from esper_growth.problems import Problems
from esper_growth.runtime import HostRuntime, Settings
from esper_growth.stages import Stage
from esper_growth.workers import shared_out

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.registry.index import Index

SEEDS = {"image": "conv_light", "sequence": "mlp"}
"""Topology of a host → label of what is grown in it."""

IN_FULL = SeedSetting(Stage.HOLDING, 1.0, Algorithm.ADD, frozen=False)
UNHEARD = SeedSetting(Stage.BLENDING, 0.0, Algorithm.ADD, frozen=False)
"""A seed that is run like any other; switching it off would change nothing, so that validation does not try."""


@frozen
class Hosts:
    """Hosts in training, with seeds in their first few slots."""

    runtime: HostRuntime
    envs: int
    occupied: int

    def train_epoch(self) -> None:
        """Train every host for one epoch, with seeds in full."""
        self.runtime.train_epoch(self._all(IN_FULL), [True] * self.envs)

    def validate(self) -> None:
        """Measure every host as it is."""
        self.runtime.validate(self._all(UNHEARD), [True] * self.envs, pairs=False)

    def ablate(self) -> None:
        """Measure every host as it is, and with every seed off in turn."""
        self.runtime.validate(self._all(IN_FULL), [True] * self.envs, pairs=False)

    def _all(self, setting: SeedSetting) -> Settings:
        return [dict.fromkeys(range(self.occupied), setting) for _ in range(self.envs)]


@frozen
class HostBench:
    """What hosts of a plan are made of, ready to be trained.

    Attributes:
        config: The environment's options; its `runtime` trains them.
        parts: 'task', 'host' and 'blueprint'.
        precision: What hosts compute in.
        slots: N.
    """

    config: GrowthConfig
    parts: Mapping[str, Any]
    precision: str
    slots: int

    @classmethod
    def of(cls, plan: Plan, index: Index) -> HostBench:
        """Return the bench of a plan whose environment is growth."""
        parts = build_parts(plan, index, only={"task", "host", "blueprint"})
        return cls(GrowthConfig(**plan.component("environment").config), parts, plan.precision, len(plan.slots))

    @property
    def seed(self) -> str:
        """The label of what is grown."""
        return SEEDS[self.parts["host"].topology]

    @property
    def problems(self) -> Problems:
        """What every instance trains."""
        return Problems(self.parts["task"], self.parts["host"], self.parts["blueprint"], self.slots)

    @contextmanager
    def hosts(self, envs: int, occupied: int, workers: int = 1) -> Iterator[Hosts]:
        """Yield E hosts in so many processes, the first few of whose slots hold a seed."""
        config = evolve(self.config, workers=workers)
        problems = self.problems
        make = partial(choose(config, problems, self.precision), config, problems, self.precision)
        runtime = shared_out(make, workers, problems.shares)
        try:
            runtime.start(range(envs))
            for env in range(envs):
                for slot in range(occupied):
                    runtime.germinate(env, slot, self.seed, Algorithm.ADD)
            yield Hosts(runtime, envs, occupied)
        finally:
            runtime.close()
