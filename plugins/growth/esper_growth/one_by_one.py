"""The host runtimes of a CPU: hosts trained one after the other, each by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from esper_growth.actions import Algorithm
from esper_growth.config import GrowthConfig
from esper_growth.engine import compiler
from esper_growth.engine.graph import Unknown
from esper_growth.engine.host import EngineHost, Joined
from esper_growth.engine.network import Network
from esper_growth.loop import LoopHost
from esper_growth.model import SeedSetting
from esper_growth.problems import Problem, Problems
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

_logger = logging.getLogger(__name__)

Result = TypeVar("Result")

Content = Mapping[str, tuple[Tensor, Tensor | None]]
"""Name as in `GrownHost` → value and momentum; the latter None before the first step."""


class HostInTraining(Protocol):
    """One host and its seeds."""

    def germinate(self, slot: int, label: str, algorithm: Algorithm) -> None:
        """Put a new seed into an empty slot."""
        ...

    def set_algorithm(self, slot: int, algorithm: Algorithm) -> None:
        """Change how a seed joins the host."""
        ...

    def remove(self, slot: int) -> None:
        """Remove a seed and its momentum."""
        ...

    def seed_parameters(self) -> dict[int, int]:
        """Return the number of parameters of every seed, by slot."""
        ...

    def train_epoch(self, settings: Mapping[int, SeedSetting]) -> dict[int, list[float]]:
        """Train for one epoch; return the norms of each seed's gradient tensors at the last step."""
        ...

    def validate(
        self, settings: Mapping[int, SeedSetting], pairs: bool, split: str
    ) -> tuple[float, dict[tuple[int, ...], float]]:
        """Return loss, and accuracy with every set of one switchable slot off, or of two where `pairs`, or none."""
        ...

    def read(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Return copies of all parameters and their momentum."""
        ...

    def write(self, content: Content) -> None:
        """Overwrite parameters and their momentum."""
        ...


class LoopRuntime:
    """Trains hosts in plain PyTorch."""

    name, kernels = "loop", "torch"

    def __init__(self, config: GrowthConfig, problems: Problems, precision: str = "float32") -> None:
        self.config, self.num_slots, self.precision = config, problems.num_slots, precision
        self.hosts: list[HostInTraining] = []
        self._snapshots: dict[int, Content] = {}
        self._problems = problems

    @one_thread()
    def start(self, instances: Sequence[int]) -> None:
        """Replace all hosts by fresh ones, one per instance number."""
        self._snapshots = {}
        self.hosts = [
            self._fresh(self._problems.at(i), i, torch.Generator().manual_seed(stable_seed("data", i)))
            for i in instances
        ]

    def _fresh(self, problem: Problem, instance: int, data_order: torch.Generator) -> HostInTraining:
        return LoopHost.start(problem, instance, self.config, data_order, self.precision)

    @one_thread()
    def germinate(self, env: int, slot: int, label: str, algorithm: Algorithm) -> None:
        """Put a new seed into an empty slot; its initial weights depend on instance, slot and how many came before."""
        self.hosts[env].germinate(slot, label, algorithm)

    @one_thread()
    def set_algorithm(self, env: int, slot: int, algorithm: Algorithm) -> None:
        """Change how a seed joins the host; its gate is created or destroyed as needed."""
        self.hosts[env].set_algorithm(slot, algorithm)

    def remove(self, env: int, slot: int) -> None:
        """Remove a seed and the optimiser state of its parameters."""
        self.hosts[env].remove(slot)

    def seed_parameters(self) -> Tensor:
        """Return the number of parameters of every seed, int64 `[E, N]`, 0 without a seed."""
        counts = torch.zeros(len(self.hosts), self.num_slots, dtype=torch.int64)
        for env, host in enumerate(self.hosts):
            for slot, count in host.seed_parameters().items():
                counts[env, slot] = count
        return counts

    def weights(self, env: int) -> dict[str, Tensor]:
        """Return copies of a host's parameters, on the CPU: name as in `GrownHost` → value."""
        return {name: value.cpu() for name, (value, _) in self.hosts[env].read().items()}

    @one_thread()
    def train_epoch(self, settings: Settings, active: Sequence[bool]) -> Gradients:
        """Train the active hosts for one epoch."""
        trained = self._map(lambda env: self.hosts[env].train_epoch(settings[env]), active)
        measured = [(env, slot, norms) for env, seeds in trained for slot, norms in seeds.items()]
        return collect_gradients(len(self.hosts), self.num_slots, measured)

    @one_thread()
    def validate(
        self, settings: Settings, active: Sequence[bool], pairs: bool, split: str = "validation"
    ) -> Validation:
        """Measure the active hosts on a split, with every switchable seed off in turn."""
        found = self._map(lambda env: self.hosts[env].validate(settings[env], pairs, split), active)
        return collect_validation(len(self.hosts), self.num_slots, [(env, *result) for env, result in found], pairs)

    def _map(self, work: Callable[[int], Result], active: Sequence[bool]) -> list[tuple[int, Result]]:
        return [(env, work(env)) for env, running in enumerate(active) if running]

    def snapshot(self, fossils: Fossils) -> None:
        """Keep copies of hosts and their fossils, weights and momentum, in place of earlier ones."""
        for env, slots in fossils.items():
            self._snapshots[env] = permanent(self.hosts[env].read(), slots)

    def restore(self, env: int) -> None:
        """Restore a host and its fossils from its copy; its other seeds are left as they are."""
        self.hosts[env].write(self._snapshots[env])

    def close(self) -> None:
        """Nothing is held."""


class EngineRuntime(LoopRuntime):
    """Trains hosts in the engine, and those with a layer that it does not know in plain PyTorch.

    Raises:
        NoCompiler: the engine cannot be compiled.
    """

    name = "engine"

    def __init__(self, config: GrowthConfig, problems: Problems, precision: str = "float32") -> None:
        super().__init__(config, problems, precision)
        self.kernels = compiler.load().digest
        self._networks: dict[tuple[object, Joined], Network] = {}
        self._strange: set[str] = set()
        # Whatever the engine does not know is named here, before processes multiply what is said.
        probe = self._fresh(problems.at(0), 0, torch.Generator())
        for label in problems.legal if isinstance(probe, EngineHost) else ():
            try:
                probe.germinate(0, label, Algorithm.ADD)
            except Unknown as unknown:
                self._name(f"A host with a seed of the blueprint '{label}'", unknown)

    def _fresh(self, problem: Problem, instance: int, data_order: torch.Generator) -> HostInTraining:
        try:
            return EngineHost.start(problem, instance, self.config, data_order, self._networks)
        except Unknown as unknown:
            self._name(f"The host '{problem.builder.name}'", unknown)
            return super()._fresh(problem, instance, data_order)

    @one_thread()
    def germinate(self, env: int, slot: int, label: str, algorithm: Algorithm) -> None:
        """Put a new seed into an empty slot; a host that the engine does not know any more goes on in the loop."""
        host = self.hosts[env]
        try:
            host.germinate(slot, label, algorithm)
        except Unknown:
            assert isinstance(host, EngineHost), "only the engine does not know a layer"
            self.hosts[env] = host.in_loop(self.precision)
            self.hosts[env].germinate(slot, label, algorithm)

    def _name(self, what: str, unknown: Unknown) -> None:
        if what not in self._strange:
            self._strange.add(what)
            _logger.warning("%s trains in PyTorch's loop, which is slower: the engine does not know %s.", what, unknown)
