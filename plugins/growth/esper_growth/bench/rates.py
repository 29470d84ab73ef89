"""How fast hosts train: the runtimes of a plan side by side, with some slots of every host occupied alike."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from esper_bench.repeats import one_thread, side_by_side
from esper_core.composition.build import build_parts
from esper_growth.actions import Algorithm
from esper_growth.config import GrowthConfig
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.loop import LoopRuntime
from esper_growth.model import SeedSetting
from esper_growth.problems import Problems
from esper_growth.runtime import HostRuntime, Settings
from esper_growth.stages import Stage
from esper_growth.workers import shared_out

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.registry.index import Index

SEED = "conv_light"
HOLDING = SeedSetting(Stage.HOLDING, 1.0, Algorithm.ADD, frozen=False)


@frozen
class Way:
    """A way of training hosts.

    Attributes:
        runtime: 'loop' or 'fused'.
        workers: Processes; 0 is one per core.
    """

    runtime: str
    workers: int


@frozen
class Hosts:
    """Hosts in training, and how their seeds take part."""

    runtime: HostRuntime
    settings: Settings

    def train_epoch(self) -> None:
        """Train every host for one epoch."""
        self.runtime.train_epoch(self.settings, [True] * len(self.settings))


@frozen
class HostBench:
    """What hosts of a plan are made of, ready to be trained in several ways.

    Attributes:
        config: The environment's options.
        parts: 'task', 'host' and 'blueprint'.
        precision: What hosts compute in.
    """

    config: GrowthConfig
    parts: Mapping[str, Any]
    precision: str

    @classmethod
    def of(cls, plan: Plan, index: Index) -> HostBench:
        """Return the bench of a plan whose environment is growth."""
        parts = build_parts(plan, index, only={"task", "host", "blueprint"})
        return cls(GrowthConfig(**plan.component("environment").config), parts, plan.precision)

    @contextmanager
    def hosts(self, way: Way, envs: int, slots: int, occupied: int) -> Iterator[Hosts]:
        """Yield E hosts with N slots, the first few of which hold a seed that takes part in full."""
        kind = FusedRuntime if way.runtime == "fused" else LoopRuntime
        config = evolve(self.config, runtime=way.runtime, workers=way.workers)
        parts = (self.parts["task"], self.parts["host"], self.parts["blueprint"])
        make = partial(kind, config, *parts, slots, self.precision)
        runtime = shared_out(make, way.workers, Problems(*parts, slots).shares)
        try:
            runtime.start(range(envs))
            for env in range(envs):
                for slot in range(occupied):
                    runtime.germinate(env, slot, SEED, Algorithm.ADD)
            yield Hosts(runtime, [dict.fromkeys(range(occupied), HOLDING) for _ in range(envs)])
        finally:
            runtime.close()

    def compare(
        self, ways: Mapping[str, Way], *, envs: int, slots: int, occupied: int, repeats: int
    ) -> dict[str, list[float]]:
        """Return the seconds of every epoch of all hosts, way by way; they take turns, after one warm-up each."""
        with ExitStack() as stack:
            stack.enter_context(one_thread())
            trained = {name: stack.enter_context(self.hosts(way, envs, slots, occupied)) for name, way in ways.items()}
            return side_by_side({name: hosts.train_epoch for name, hosts in trained.items()}, repeats)

    def rates(self, ways: Mapping[str, Way], *, envs: int, slots: int, occupied: int, repeats: int) -> dict[str, float]:
        """Return hosts·epochs/s way by way; medians."""
        seconds = self.compare(ways, envs=envs, slots=slots, occupied=occupied, repeats=repeats)
        return {name: envs / statistics.median(times) for name, times in seconds.items()}
