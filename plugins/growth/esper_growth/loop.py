"""One host in training in plain PyTorch: one module and one optimiser.

With no seed in any slot this is, bit for bit, ordinary PyTorch training of the host.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from esper_growth.problems import Problem


@define
class LoopHost:
    """A host and its seeds.

    Attributes:
        problem: Task and builder of its instance.
        instance: Instance number.
        config: How it is trained.
        data_order: Source of the order of training samples; nothing else draws from it.
        precision: What the model computes in.
        model: The host and its seeds.
        optimizer: Optimises exactly the model's parameters.
        germinations: Seeds grown so far, per slot.
        epochs: Epochs trained so far.
    """

    problem: Problem
    instance: int
    config: GrowthConfig
    data_order: torch.Generator
    precision: str
    model: GrownHost
    optimizer: GrowingSGD
    germinations: dict[int, int] = field(factory=dict)
    epochs: int = 0

    @classmethod
    def start(
        cls, problem: Problem, instance: int, config: GrowthConfig, data_order: torch.Generator, precision: str
    ) -> LoopHost:
        """Return a fresh host."""
        model = GrownHost(problem.builder.host(instance))
        optimizer = GrowingSGD(model.host, config.host_lr, config.momentum)
        return cls(problem, instance, config, data_order, precision, model, optimizer)

    def germinate(self, slot: int, label: str, algorithm: Algorithm) -> None:
        """Put a new seed into an empty slot; its initial weights depend on instance, slot and how many came before."""
        count = self.germinations[slot] = self.germinations.get(slot, 0) + 1
        seed = Seed(self.problem.builder.branch(self.instance, slot, count, label))
        self.model.seeds[str(slot)] = seed
        self.optimizer.add(str(slot), seed.parameters())
        self.set_algorithm(slot, algorithm)

    def set_algorithm(self, slot: int, algorithm: Algorithm) -> None:
        """Change how a seed joins the host; its gate is created or destroyed as needed."""
        seed = self.model.seed(slot)
        assert seed is not None, f"slot {slot} of instance {self.instance} holds no seed"
        if algorithm == Algorithm.GATE and seed.gate is None:
            seed.gate = self.problem.builder.gate(self.instance, slot, self.germinations[slot])
            self.optimizer.add(str(slot), seed.gate.parameters())
        elif algorithm != Algorithm.GATE and seed.gate is not None:
            self.optimizer.drop(seed.gate.parameters())
            seed.gate = None

    def remove(self, slot: int) -> None:
        """Remove a seed and the optimiser state of its parameters."""
        del self.model.seeds[str(slot)]
        self.optimizer.remove(str(slot))

    def seed_parameters(self) -> dict[int, int]:
        """Return the number of parameters of every seed, by slot."""
        return {int(slot): sum(p.numel() for p in seed.parameters()) for slot, seed in self.model.seeds.items()}

    def train_epoch(self, settings: Mapping[int, SeedSetting]) -> dict[int, list[float]]:
        """Train for one epoch; return the norms of each seed's gradient tensors at the last step."""
        settings, split = dict(settings), self.problem.splits(self.epochs)["train"]
        self.epochs += 1
        for slot, setting in settings.items():
            self.model.seeds[str(slot)].requires_grad_(not setting.frozen)
        order = torch.randperm(len(split.targets), generator=self.data_order).to(split.targets.device)
        for rows in order.split(self.config.batch_size):
            self.step(split.inputs[rows], split.targets[rows], settings)
        return {slot: norms for slot in settings if (norms := self._gradient_norms(slot))}

    def step(self, inputs: Tensor, targets: Tensor, settings: dict[int, SeedSetting]) -> None:
        """Take one optimiser step on `inputs [B, ...]` and `targets [B]`."""
        self.optimizer.zero_grad()
        with autocast(self.precision, inputs.device):
            logits = self.model(inputs, settings)
        functional.cross_entropy(widened(logits), targets).backward()
        if self.config.max_grad_norm > 0:
            for group in self.optimizer.param_groups:
                clip_grad_norm_(group["params"], self.config.max_grad_norm)
        self.optimizer.step()

    def validate(
        self, settings: Mapping[int, SeedSetting], pairs: bool, split: str
    ) -> tuple[float, dict[tuple[int, ...], float]]:
        """Return loss, and accuracy with every set of one switchable slot off, or of two where `pairs`, or none."""
        samples = self.problem.measured(self.epochs)[split]
        logits, variants = self._ablate(samples.inputs, dict(settings), pairs)
        loss = functional.cross_entropy(logits[0], samples.targets).item()
        correct = (logits.argmax(dim=2) == samples.targets).sum(dim=1).tolist()
        return loss, {v: c / len(samples.targets) for v, c in zip(variants, correct, strict=True)}

    def _ablate(
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
