"""The seeds of E hosts: their row in the slot table, their modules in the hosts and what they lift change together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from esper_growth.actions import Algorithm
from esper_growth.events import seed_event
from esper_growth.lifecycle import Change, SlotTable
from esper_growth.model import SeedSetting
from esper_growth.progress import Progress
from esper_growth.runtime import HostRuntime, Settings
from esper_growth.scaffolding import Scaffolding, Seed
from esper_growth.stages import HAS_MODULE, Stage

Topology = Mapping[str, tuple[str, str, float]]
"""Slot → blueprint, how it joins the host, and alpha."""


class Seeds:
    """What is in the slots of hosts that have just started: nothing.

    Attributes:
        table: Stages, alphas and blends, `[E, N]`.
        scaffolding: Which seeds have lifted which.
        parameters: Parameters of each seed, int64 `[E, N]`; 0 where there is none.
    """

    def __init__(self, runtime: HostRuntime, slot_ids: Sequence[str], labels: Sequence[str], num_envs: int) -> None:
        self._runtime, self._slot_ids, self._labels = runtime, slot_ids, labels
        self.table = SlotTable.empty(num_envs, len(slot_ids))
        self.scaffolding = Scaffolding(num_envs)
        self.parameters = runtime.seed_parameters()

    @property
    def fossilized(self) -> Tensor:
        """Where a seed is permanent, bool `[E, N]`."""
        return self.table.stage == Stage.FOSSILIZED

    def plant(self, topologies: Sequence[Topology]) -> None:
        """Put fossils into empty slots."""
        for env, topology in enumerate(topologies):
            for name, (label, algorithm, alpha) in topology.items():
                slot, how = int(name), Algorithm[algorithm]
                self._runtime.germinate(env, slot, label, how)
                self.table.plant(env, slot, self._labels.index(label), how, alpha)
                self.scaffolding.germinate(env, slot, Seed(self._slot_ids[slot], label))
        self.parameters = self._runtime.seed_parameters()

    def carry_out(self, changes: Sequence[Change], progress: Progress) -> None:
        """Do to the hosts what has changed in the table."""
        for env, slot, kind in changes:
            if kind == "germinate":
                label = self._labels[int(self.table.blueprint[env, slot])]
                self._runtime.germinate(env, slot, label, Algorithm(int(self.table.algorithm[env, slot])))
                self.scaffolding.germinate(env, slot, Seed(self._slot_ids[slot], label))
            elif kind == "retarget":
                self._runtime.set_algorithm(env, slot, Algorithm(int(self.table.algorithm[env, slot])))
            elif kind == "fossilize":
                self.scaffolding.fossilize(env, slot, int(progress.epoch[env]))
            elif kind == "removed":
                self._runtime.remove(env, slot)
                progress.forget_seed(env, slot)
                self.scaffolding.remove(env, slot, int(progress.epoch[env]))
        if changes:
            self.parameters = self._runtime.seed_parameters()

    def settings(self) -> Settings:
        """Return what every host has in its slots."""
        table = self.table
        columns = (table.stage.tolist(), table.alpha.tolist(), table.algorithm.tolist(), table.pruning.tolist())
        return [
            {
                slot: SeedSetting(Stage(stage), alpha, Algorithm(algorithm), frozen)
                for slot, (stage, alpha, algorithm, frozen) in enumerate(zip(*row, strict=True))
                if stage in HAS_MODULE
            }
            for row in zip(*columns, strict=True)
        ]

    def fossils(self) -> Settings:
        """Return the same of permanent seeds alone."""
        return [
            {slot: setting for slot, setting in seeds.items() if setting.stage == Stage.FOSSILIZED}
            for seeds in self.settings()
        ]

    def labels(self) -> list[list[str]]:
        """Return the blueprint label of every seed, by environment and slot; meaningless where there is none."""
        return [[self._labels[index] for index in row] for row in self.table.blueprint.tolist()]

    def topologies(self) -> list[Topology]:
        """Return the fossils of every environment, as `plant` takes them."""
        labels = self.labels()
        return [
            {str(slot): (labels[env][slot], seed.algorithm.name, seed.alpha) for slot, seed in fossils.items()}
            for env, fossils in enumerate(self.fossils())
        ]

    def event(self, change: Change, blueprints: Tensor, progress: Progress) -> dict[str, Any]:
        """Return the event of a change of the seed that had such a blueprint, int64 `[E, N]`."""
        env, slot, kind = change
        event = seed_event(
            change,
            self.table,
            self.parameters,
            step=int(progress.epoch[env]),
            slot_id=self._slot_ids[slot],
            blueprint=self._labels[int(blueprints[env, slot])],
        )
        if kind == "fossilize":
            event["helpers"] = self.scaffolding.helpers(env, slot)
        return event

    def with_parameters(self, which: Tensor) -> Tensor:
        """Return the parameters of the seeds where `which`, bool `[E, N]`, is true: float64 `[E]`."""
        return torch.where(which, self.parameters, 0).sum(dim=1).double()
