"""The plain host runtime: one module and one optimiser per environment, trained in a loop.

With no seed in any slot this is, bit for bit, ordinary PyTorch training of the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from attrs import define, field
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from esper_core.contracts.precision import autocast, widened
from esper_growth.actions import Algorithm
from esper_growth.config import GrowthConfig
from esper_growth.model import GrownHost, Seed, SeedSetting
from esper_growth.optimizer import GrowingSGD
from esper_growth.problems import Problem, Problems
from esper_growth.protocols import Blueprint, Host, Split, Task
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

Result = TypeVar("Result")


@define
class HostRun:
    """One host in training.

    Attributes:
        model: The host and its seeds.
        optimizer: Optimises exactly the model's parameters.
        problem: Task and builder of its instance.
        data_order: Source of the order of training samples; nothing else draws from it.
        instance: Instance number.
        precision: What the model computes in.
        germinations: Seeds grown so far, per slot.
    """

    model: GrownHost
    optimizer: GrowingSGD
    problem: Problem
    data_order: torch.Generator
    instance: int
    precision: str
    germinations: dict[int, int] = field(factory=dict)

    def train_epoch(
        self, settings: Mapping[int, SeedSetting], batch_size: int, max_grad_norm: float
    ) -> dict[int, list[float]]:
        """Train for one epoch; return the norms of each seed's gradient tensors at the last step."""
        settings, split = dict(settings), self.problem.task.train
        for slot, setting in settings.items():
            self.model.seeds[str(slot)].requires_grad_(not setting.frozen)
        order = torch.randperm(len(split.targets), generator=self.data_order).to(split.targets.device)
        for rows in order.split(batch_size):
            self.step(split.inputs[rows], split.targets[rows], settings, max_grad_norm)
        return {slot: norms for slot in settings if (norms := self._gradient_norms(slot))}

    def step(self, inputs: Tensor, targets: Tensor, settings: dict[int, SeedSetting], max_grad_norm: float) -> None:
        """Take one optimiser step on `inputs [B, ...]` and `targets [B]`."""
        self.optimizer.zero_grad()
        with autocast(self.precision, inputs.device):
            logits = self.model(inputs, settings)
        functional.cross_entropy(widened(logits), targets).backward()
        if max_grad_norm > 0:
            for group in self.optimizer.param_groups:
                clip_grad_norm_(group["params"], max_grad_norm)
        self.optimizer.step()

    def ablate(
        self, inputs: Tensor, settings: dict[int, SeedSetting], pairs: bool
    ) -> tuple[Tensor, list[tuple[int, ...]]]:
        """Return the logits of every variant, as `GrownHost.ablate` does."""
        with autocast(self.precision, inputs.device):
            logits, variants = self.model.ablate(inputs, settings, pairs)
        return widened(logits), variants

    def read(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Return copies of all parameters: name → (value, momentum); the latter None before the first step."""
        moments = {p: self.optimizer.state.get(p, {}).get("momentum_buffer") for p in self.model.parameters()}
        return {
            name: (p.detach().clone(), None if moments[p] is None else moments[p].clone())
            for name, p in self.model.named_parameters()
        }

    @torch.no_grad()
    def write(self, content: Mapping[str, tuple[Tensor, Tensor | None]]) -> None:
        """Overwrite parameters and their momentum with what `read` returned."""
        parameters = dict(self.model.named_parameters())
        for name, (value, momentum) in content.items():
            parameters[name].copy_(value)
            self.optimizer.state.pop(parameters[name], None)
            if momentum is not None:
                self.optimizer.state[parameters[name]] = {"momentum_buffer": momentum.clone()}

    def _gradient_norms(self, slot: int) -> list[float]:
        gradients = [p.grad for p in self.model.seeds[str(slot)].parameters() if p.grad is not None]
        return torch.stack(torch._foreach_norm(gradients)).tolist() if gradients else []


class LoopRuntime:
    """Trains hosts one by one."""

    name, kernels = "loop", "torch"

    def __init__(
        self,
        config: GrowthConfig,
        task: Task,
        host: Host,
        blueprints: Mapping[str, Blueprint],
        num_slots: int,
        precision: str = "float32",
    ) -> None:
        self.config, self.num_slots, self.precision = config, num_slots, precision
        self.hosts: list[HostRun] = []
        self._snapshots: dict[int, dict[str, tuple[Tensor, Tensor | None]]] = {}
        self._problems = Problems(task, host, blueprints, num_slots)

    @one_thread()
    def start(self, instances: Sequence[int]) -> None:
        """Replace all hosts by fresh ones, one per instance number."""
        self.hosts, self._snapshots = [], {}
        for instance in instances:
            problem = self._problems.at(instance)
            model = GrownHost(problem.builder.host(instance))
            optimizer = GrowingSGD(model.host, self.config.host_lr, self.config.momentum)
            generator = torch.Generator().manual_seed(stable_seed("data", instance))
            self.hosts.append(HostRun(model, optimizer, problem, generator, instance, self.precision))

    @one_thread()
    def germinate(self, env: int, slot: int, label: str, algorithm: Algorithm) -> None:
        """Put a new seed into an empty slot; its initial weights depend on instance, slot and how many came before."""
        run = self.hosts[env]
        count = run.germinations[slot] = run.germinations.get(slot, 0) + 1
        seed = Seed(run.problem.builder.branch(run.instance, slot, count, label))
        run.model.seeds[str(slot)] = seed
        run.optimizer.add(str(slot), seed.parameters())
        self.set_algorithm(env, slot, algorithm)

    @one_thread()
    def set_algorithm(self, env: int, slot: int, algorithm: Algorithm) -> None:
        """Change how a seed joins the host; its gate is created or destroyed as needed."""
        run = self.hosts[env]
        seed = run.model.seed(slot)
        assert seed is not None, f"slot {slot} of environment {env} holds no seed"
        if algorithm == Algorithm.GATE and seed.gate is None:
            seed.gate = run.problem.builder.gate(run.instance, slot, run.germinations[slot])
            run.optimizer.add(str(slot), seed.gate.parameters())
        elif algorithm != Algorithm.GATE and seed.gate is not None:
            run.optimizer.drop(seed.gate.parameters())
            seed.gate = None

    def remove(self, env: int, slot: int) -> None:
        """Remove a seed and the optimiser state of its parameters."""
        run = self.hosts[env]
        del run.model.seeds[str(slot)]
        run.optimizer.remove(str(slot))

    def seed_parameters(self) -> Tensor:
        """Return the number of parameters of every seed, int64 `[E, N]`."""
        counts = torch.zeros(len(self.hosts), self.num_slots, dtype=torch.int64)
        for env, run in enumerate(self.hosts):
            for slot, seed in run.model.seeds.items():
                counts[env, int(slot)] = sum(p.numel() for p in seed.parameters())
        return counts

    def weights(self, env: int) -> dict[str, Tensor]:
        """Return copies of a host's parameters, on the CPU: name as in `GrownHost` → value."""
        return {name: p.detach().to("cpu", copy=True) for name, p in self.hosts[env].model.named_parameters()}

    @one_thread()
    def train_epoch(self, settings: Settings, active: Sequence[bool]) -> Gradients:
        """Train the active hosts for one epoch."""
        config = self.config

        def train(env: int) -> dict[int, list[float]]:
            return self.hosts[env].train_epoch(settings[env], config.batch_size, config.max_grad_norm)

        measured = [(env, slot, norms) for env, seeds in self._map(train, active) for slot, norms in seeds.items()]
        return collect_gradients(len(self.hosts), self.num_slots, measured)

    @one_thread()
    def validate(
        self, settings: Settings, active: Sequence[bool], pairs: bool, split: str = "validation"
    ) -> Validation:
        """Measure the active hosts on a split, with every switchable seed off in turn."""

        def measure(env: int) -> tuple[float, dict[tuple[int, ...], float]]:
            samples: Split = getattr(self.hosts[env].problem.task, split)
            logits, variants = self.hosts[env].ablate(samples.inputs, settings[env], pairs)
            loss = functional.cross_entropy(logits[0], samples.targets).item()
            correct = (logits.argmax(dim=2) == samples.targets).sum(dim=1).tolist()
            return loss, {v: c / len(samples.targets) for v, c in zip(variants, correct, strict=True)}

        measured = [(env, *result) for env, result in self._map(measure, active)]
        return collect_validation(len(self.hosts), self.num_slots, measured, pairs)

    def _map(self, work: Callable[[int], Result], active: Sequence[bool]) -> list[tuple[int, Result]]:
        envs = [env for env, running in enumerate(active) if running]
        return [(env, work(env)) for env in envs]

    def snapshot(self, fossils: Fossils) -> None:
        """Keep copies of hosts and their fossils, weights and momentum, in place of earlier ones."""
        for env, slots in fossils.items():
            self._snapshots[env] = permanent(self.hosts[env].read(), slots)

    def restore(self, env: int) -> None:
        """Restore a host and its fossils from its copy; its other seeds are left as they are."""
        self.hosts[env].write(self._snapshots[env])

    def close(self) -> None:
        """Nothing is held."""
