"""The fused host runtime: groups of hosts, each trained as one network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from esper_core.contracts.precision import computing_dtype, widened
from esper_growth.actions import Algorithm
from esper_growth.config import GrowthConfig
from esper_growth.fused.data import GroupData
from esper_growth.fused.fold import fold
from esper_growth.fused.group import HostGroup
from esper_growth.problems import Problems
from esper_growth.runtime import (
    Fossils,
    Gradients,
    Settings,
    Validation,
    collect_gradients,
    collect_validation,
    one_thread,
    permanent,
    stable_seed,
)

VALIDATION_SLICE = 1000
"""Validation samples per pass: every switched-off seed is one more copy of them."""

Result = TypeVar("Result")


class Place(NamedTuple):
    """Where an environment's host is."""

    group: int
    position: int


class FusedRuntime:
    """Trains hosts in groups of equal size; no host's numbers depend on the others. For GPUs, and half precision."""

    name, kernels = "fused", "torch"

    def __init__(self, config: GrowthConfig, problems: Problems, precision: str = "float32") -> None:
        self.config, self.num_slots, self.precision = config, problems.num_slots, precision
        dtype = problems.task.train.inputs.dtype
        self._computing = dtype if precision == "float32" else computing_dtype(precision)
        self.groups: list[HostGroup] = []
        self._problems = problems
        # Whatever has no fused form is named here, before processes multiply what is said.
        builder = problems.at(0).builder
        for segment in builder.host(0).segments:  # type: ignore[union-attr]
            fold(segment)
        for label in problems.legal:
            fold(builder.branch(0, 0, 0, label))

    @one_thread()
    def start(self, instances: Sequence[int]) -> None:
        """Replace all hosts by fresh ones, one per instance number."""
        self.instances = list(instances)
        self._own = [self._problems.at(instance) for instance in instances]
        self._members = [share for envs in self._problems.alike(instances) for share in self._shares(envs)]
        self.groups = [
            HostGroup.of(
                [self._own[env].builder.host(instances[env]) for env in envs],
                self._own[envs[0]].task.classes,
                self._computing,
            )
            for envs in self._members
        ]
        tasks = [[phase.task for phase in problem.phases] for problem in self._own]
        self.data = [GroupData.of([tasks[env] for env in envs]) for envs in self._members]
        self._places = {
            env: Place(index, position) for index, envs in enumerate(self._members) for position, env in enumerate(envs)
        }
        self._orders = [torch.Generator().manual_seed(stable_seed("data", instance)) for instance in instances]
        self._epochs = [0] * len(self.instances)
        self._germinations: dict[tuple[int, int], int] = {}
        self._snapshots: dict[int, dict[str, tuple[Tensor, Tensor]]] = {}

    @one_thread()
    def germinate(self, env: int, slot: int, label: str, algorithm: Algorithm) -> None:
        """Put a new seed into an empty slot; its initial weights depend on instance, slot and how many came before."""
        count = self._germinations[env, slot] = self._germinations.get((env, slot), 0) + 1
        group, position = self._places[env]
        self.groups[group].germinate(
            position, slot, label, self._own[env].builder.branch(self.instances[env], slot, count, label)
        )
        self.set_algorithm(env, slot, algorithm)

    @one_thread()
    def set_algorithm(self, env: int, slot: int, algorithm: Algorithm) -> None:
        """Change how a seed joins the host; its gate is created or destroyed as needed."""
        index, position = self._places[env]
        group = self.groups[index]
        if algorithm == Algorithm.GATE and not group.has_gate(position, slot):
            gate = self._own[env].builder.gate(self.instances[env], slot, self._germinations[env, slot])
            group.open_gate(position, slot, gate)
        elif algorithm != Algorithm.GATE and group.has_gate(position, slot):
            group.close_gate(position, slot)

    def remove(self, env: int, slot: int) -> None:
        """Remove a seed and the optimiser state of its parameters."""
        group, position = self._places[env]
        self.groups[group].remove(position, slot)

    def seed_parameters(self) -> Tensor:
        """Return the number of parameters of every seed, int64 `[E, N]`."""
        counts = torch.zeros(len(self.instances), self.num_slots, dtype=torch.int64)
        for index, group in enumerate(self.groups):
            for position, slot, count in group.seed_parameters():
                counts[self._members[index][position], slot] = count
        return counts

    @one_thread()
    def train_epoch(self, settings: Settings, active: Sequence[bool]) -> Gradients:
        """Train the active hosts for one epoch."""
        parts = self._map(lambda index: self._train_group(index, settings, active), active)
        return collect_gradients(len(self.instances), self.num_slots, chain.from_iterable(parts))

    def _train_group(
        self, index: int, settings: Settings, active: Sequence[bool]
    ) -> list[tuple[int, int, list[float]]]:
        """Train a group for one epoch; return environment, slot and gradient norms of its seeds."""
        group, data, config = self.groups[index], self.data[index], self.config
        envs = self.environments(index)
        resting = {position: group.read(position) for position, env in enumerate(envs) if not active[env]}
        own = [settings[env] if active[env] else {} for env in envs]
        samples = data.samples("train")
        # A host that rests goes through the motions on any order; what that did to it is undone below.
        orders = torch.stack(
            [
                torch.randperm(samples, generator=self._orders[env]) if active[env] else torch.arange(samples)
                for env in envs
            ],
            dim=1,
        )
        split, rows_of_epoch = data.splits["train"], data.rows("train", orders, self._phases(envs, 0))
        joins = group.joins(own)
        frozen = {p: [slot for slot, s in seeds.items() if s.frozen or not s.in_forward] for p, seeds in enumerate(own)}
        for rows in rows_of_epoch.split(config.batch_size):
            group.step(
                split.inputs[rows],
                split.targets[rows],
                joins,
                frozen,
                lr=config.host_lr,
                momentum=config.momentum,
                max_grad_norm=config.max_grad_norm,
            )
        for env in envs:
            self._epochs[env] += active[env]
        health = [
            seed
            for seed in group.seed_health(frozen)
            if seed.host not in resting and seed.slot in settings[envs[seed.host]]
        ]
        for position, content in resting.items():
            group.write(position, content)
        if not health:
            return []
        # Read at once: a GPU has to finish its work for every reading.
        norms = iter(torch.cat([seed.norms for seed in health]).tolist())
        return [(envs[seed.host], seed.slot, list(islice(norms, len(seed.norms)))) for seed in health]

    @one_thread()
    def validate(
        self, settings: Settings, active: Sequence[bool], pairs: bool, split: str = "validation"
    ) -> Validation:
        """Measure the active hosts on a split, with every switchable seed off in turn."""
        parts = self._map(lambda index: self._measure_group(index, settings, active, pairs, split), active)
        measured = ((env, *result) for part in parts for env, result in part.items())
        return collect_validation(len(self.instances), self.num_slots, measured, pairs)

    @torch.no_grad()
    def _measure_group(
        self, index: int, settings: Settings, active: Sequence[bool], pairs: bool, split: str
    ) -> dict[int, tuple[float, dict[tuple[int, ...], float]]]:
        """Return loss and accuracy per variant of every active environment of a group."""
        group, data = self.groups[index], self.data[index]
        envs = self.environments(index)
        own = [settings[env] if active[env] else {} for env in envs]
        run, owners, off = group.ablate(own, pairs)
        losses, correct, samples, found = [], [], data.samples(split), data.splits[split]
        everything = torch.arange(samples)[:, None].expand(-1, group.count)
        for rows in data.rows(split, everything, self._phases(envs, -1)).split(VALIDATION_SLICE):
            targets = found.targets[rows]
            logits = widened(run(found.inputs[rows]))
            correct.append((logits.argmax(dim=2) == targets[:, owners]).sum(dim=0))
            bare = logits[:, : group.count].transpose(1, 2)
            losses.append(functional.cross_entropy(bare, targets, reduction="none").double())
        mean_loss = torch.cat(losses).t().contiguous().sum(dim=1).div(samples).tolist()
        shares = [int(count) / samples for count in torch.stack(correct).sum(dim=0).tolist()]
        measured: dict[int, tuple[float, dict[tuple[int, ...], float]]] = {}
        for owner, slots_off, share in zip(owners, off, shares, strict=True):
            env = envs[owner]
            if active[env]:
                measured.setdefault(env, (mean_loss[owner], {}))[1][slots_off] = share
        return measured

    def read(self, env: int) -> dict[str, tuple[Tensor, Tensor]]:
        """Return copies of everything a host has learned: name as in `GrownHost` → (value, momentum)."""
        group, position = self._places[env]
        return self.groups[group].read(position)

    def snapshot(self, fossils: Fossils) -> None:
        """Remember hosts and their fossils, weights and momentum, in place of what was remembered of them."""
        for env, slots in fossils.items():
            self._snapshots[env] = permanent(self.read(env), slots)

    def restore(self, env: int) -> None:
        """Put a host and its fossils back to what was remembered; its other seeds are left as they are."""
        group, position = self._places[env]
        self.groups[group].write(position, self._snapshots[env])

    def weights(self, env: int) -> dict[str, Tensor]:
        """Return copies of everything a host has learned, on the CPU: name as in `GrownHost` → value."""
        return {name: value.detach().cpu() for name, (value, _) in self.read(env).items()}

    def close(self) -> None:
        """Nothing is held."""

    def environments(self, index: int) -> list[int]:
        """Return the environments whose hosts are in a group, in their order there."""
        return self._members[index]

    def _phases(self, envs: Sequence[int], ahead: int) -> list[int]:
        """Return the phase of the epoch that each of some hosts trains next (0), or was trained last (−1)."""
        return [self._own[env].phase(max(self._epochs[env] + ahead, 0)) for env in envs]

    def _shares(self, envs: list[int]) -> list[list[int]]:
        """Return groups of the configured size."""
        size = self.config.hosts_per_group or len(envs)
        return [envs[first : first + size] for first in range(0, len(envs), size)]

    def _map(self, work: Callable[[int], Result], active: Sequence[bool]) -> Iterable[Result]:
        groups = [index for index in range(len(self.groups)) if any(active[env] for env in self.environments(index))]
        return map(work, groups)
