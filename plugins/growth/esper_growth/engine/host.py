"""One host in training in the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from attrs import define, evolve, field
from torch import Tensor, nn

from esper_growth.actions import Algorithm
from esper_growth.config import GrowthConfig
from esper_growth.engine.graph import Graph, Kind, Node, shape_of
from esper_growth.engine.network import Network, Part, Step
from esper_growth.loop import LoopHost
from esper_growth.model import SeedSetting
from esper_growth.problems import Problem
from esper_growth.stages import Stage

HOST = "host"

KEPT = 256
"""Networks that are kept, those that were used last: there are many more ways of growing than an episode sees."""

Joined = tuple[tuple[int, str, Algorithm, bool], ...]
"""Slot, blueprint, how it joins, and whether it trains isolated, of every seed that takes part."""


@define
class Trained:
    """A module whose parameters are views of one row of weights.

    Attributes:
        shapes: Of its parameters, by name, in their order.
    """

    module: nn.Module
    part: Part
    shapes: dict[str, torch.Size]

    @classmethod
    def of(cls, module: nn.Module) -> Trained:
        """Move the parameters of a module into one row; their momentum is 0."""
        named = {name: parameter.requires_grad_(False) for name, parameter in module.named_parameters()}
        weights = torch.cat([parameter.flatten() for parameter in named.values()]) if named else torch.empty(0)
        trained = cls(module, Part(weights, torch.zeros_like(weights)), {name: p.shape for name, p in named.items()})
        for parameter, own in zip(named.values(), trained.split(weights), strict=True):
            parameter.data = own
        return trained

    def split(self, row: Tensor) -> list[Tensor]:
        """Return what belongs to each parameter in a row of numbers, in its shape."""
        rows = row.split([shape.numel() for shape in self.shapes.values()])
        return [own.view(shape) for own, shape in zip(rows, self.shapes.values(), strict=True)]


@define
class EngineHost:
    """A host and its seeds.

    Attributes:
        problem: Task and builder of its instance.
        instance: Instance number.
        config: How it is trained.
        networks: Compiled networks by architecture and what is joined, shared with other hosts.
        data_order: Source of the order of training samples; nothing else draws from it.
        trained: By name as in `GrownHost`: the host, branches and gates.
        labels: Blueprint by slot.
        germinations: Seeds grown so far, per slot.
        epochs: Epochs trained so far.
    """

    problem: Problem
    instance: int
    config: GrowthConfig
    networks: dict[tuple[object, Joined], Network]
    data_order: torch.Generator
    trained: dict[str, Trained]
    labels: dict[int, str] = field(factory=dict)
    algorithms: dict[int, Algorithm] = field(factory=dict)
    germinations: dict[int, int] = field(factory=dict)
    epochs: int = 0

    @classmethod
    def start(
        cls,
        problem: Problem,
        instance: int,
        config: GrowthConfig,
        data_order: torch.Generator,
        networks: dict[tuple[object, Joined], Network],
    ) -> EngineHost:
        """Return a fresh host.

        Raises:
            Unknown: the engine does not know one of its layers.
        """
        host = cls(problem, instance, config, networks, data_order, {HOST: Trained.of(problem.builder.host(instance))})
        host._network(())
        return host

    def germinate(self, slot: int, label: str, algorithm: Algorithm) -> None:
        """Put a new seed into an empty slot; its initial weights depend on instance, slot and how many came before.

        Raises:
            Unknown: the engine does not know one of its layers; nothing has changed.
        """
        count = self.germinations.get(slot, 0) + 1
        branch = self.problem.builder.branch(self.instance, slot, count, label)
        shape = shape_of(self.problem.builder.slot_shapes[slot])
        graph = Graph()
        graph.part("", branch)
        graph.lower(branch, graph.input(shape))
        self.trained[_branch(slot)] = Trained.of(branch)
        self.labels[slot], self.germinations[slot] = label, count
        self.set_algorithm(slot, algorithm)

    def set_algorithm(self, slot: int, algorithm: Algorithm) -> None:
        """Change how a seed joins the host; its gate is created or destroyed as needed."""
        self.algorithms[slot] = algorithm
        if algorithm != Algorithm.GATE:
            self.trained.pop(_gate(slot), None)
        elif _gate(slot) not in self.trained:
            self.trained[_gate(slot)] = Trained.of(
                self.problem.builder.gate(self.instance, slot, self.germinations[slot])
            )

    def remove(self, slot: int) -> None:
        """Remove a seed."""
        del self.trained[_branch(slot)], self.labels[slot], self.algorithms[slot]
        self.trained.pop(_gate(slot), None)

    def seed_parameters(self) -> dict[int, int]:
        """Return the number of parameters of every seed, by slot."""
        return {
            slot: sum(self.trained[name].part.weights.numel() for name in self._parts(slot)) for slot in self.labels
        }

    def train_epoch(self, settings: Mapping[int, SeedSetting]) -> dict[int, list[float]]:
        """Train for one epoch; return the norms of each seed's gradient tensors at the last step."""
        settings = {s: setting for s, setting in settings.items() if setting.in_forward and not _idle(setting)}
        network = self._network(self._joined(settings))
        owners = [_slot(name) for name in network.parts]
        learns = [slot is None or not settings[slot].frozen for slot in owners]
        split = self.problem.splits(self.epochs)["train"]
        self.epochs += 1
        gradients = network.train(
            split,
            torch.randperm(len(split.targets), generator=self.data_order),
            [self.trained[name].part for name in network.parts],
            [0 if slot is None else slot + 1 for slot in owners],
            learns,
            self._alphas(settings),
            Step(self.config.batch_size, self.config.host_lr, self.config.momentum, self.config.max_grad_norm),
        )
        norms: dict[int, list[float]] = {}
        for name, slot, learning, gradient in zip(network.parts, owners, learns, gradients, strict=True):
            if slot is not None and learning:
                of_tensors = torch._foreach_norm(self.trained[name].split(gradient))
                norms.setdefault(slot, []).extend(torch.stack(of_tensors).tolist())
        return norms

    def validate(
        self, settings: Mapping[int, SeedSetting], pairs: bool, split: str
    ) -> tuple[float, dict[tuple[int, ...], float]]:
        """Return loss, and accuracy with every set of one switchable slot off, or of two where `pairs`, or none."""
        # A seed that trains isolated leaves the host's output as it is.
        seen = {s: setting for s, setting in settings.items() if setting.in_forward and setting.stage != Stage.TRAINING}
        network = self._network(self._joined(seen))
        switchable = [slot in seen and seen[slot].switchable for slot in range(network.slots)]
        parts = [self.trained[name].part for name in network.parts]
        samples = self.problem.measured(self.epochs)[split]
        return network.evaluate(samples, parts, self._alphas(seen), switchable, 2 if pairs else 1)

    def read(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Return copies of all parameters: name as in `GrownHost` → (value, momentum)."""
        content: dict[str, tuple[Tensor, Tensor | None]] = {}
        for name, trained in self.trained.items():
            values, momenta = (trained.split(row.clone()) for row in trained.part)
            for own, value, momentum in zip(trained.shapes, values, momenta, strict=True):
                content[f"{name}.{own}"] = (value, momentum)
        return content

    def write(self, content: Mapping[str, tuple[Tensor, Tensor | None]]) -> None:
        """Overwrite parameters and their momentum with what `read` returned."""
        for name, trained in self.trained.items():
            for kind, row in enumerate(trained.part):
                for parameter, own in zip(trained.shapes, trained.split(row), strict=True):
                    if f"{name}.{parameter}" in content:
                        value = content[f"{name}.{parameter}"][kind]
                        own.copy_(value) if value is not None else own.zero_()

    def in_loop(self, precision: str) -> LoopHost:
        """Return the same host, to be trained on in PyTorch's loop."""
        host = LoopHost.start(self.problem, self.instance, self.config, self.data_order, precision)
        for slot, label in self.labels.items():
            host.germinations[slot] = self.germinations[slot] - 1
            host.germinate(slot, label, self.algorithms[slot])
        host.germinations, host.epochs = dict(self.germinations), self.epochs
        host.write(self.read())
        return host

    def _joined(self, settings: Mapping[int, SeedSetting]) -> Joined:
        return tuple(
            (slot, self.labels[slot], settings[slot].algorithm, settings[slot].stage == Stage.TRAINING)
            for slot in sorted(settings)
        )

    def _alphas(self, settings: Mapping[int, SeedSetting]) -> list[float]:
        slots = len(self.problem.builder.slot_shapes)
        return [settings[slot].alpha if slot in settings else 0.0 for slot in range(slots)]

    def _parts(self, slot: int) -> list[str]:
        return [name for name in (_branch(slot), _gate(slot)) if name in self.trained]

    def _network(self, joined: Joined) -> Network:
        key = (self.problem.alike, joined)
        network = self.networks.pop(key, None)
        if network is None:
            if len(self.networks) >= KEPT:
                del self.networks[next(iter(self.networks))]
            dtype = self.problem.task.train.inputs.dtype
            network = Network(self._graph(joined), dtype, len(self.problem.builder.slot_shapes))
        self.networks[key] = network
        return network

    def _graph(self, joined: Joined) -> Graph:
        graph = Graph()
        seeds = {slot: (algorithm, isolated) for slot, _, algorithm, isolated in joined}
        for name in (HOST, *(name for slot in seeds for name in self._parts(slot))):
            # What has no parameters has nothing to train.
            if self.trained[name].shapes:
                graph.part(name, self.trained[name].module)
        x = graph.input(shape_of(self.problem.task.train.inputs.shape[1:]))
        segments: Sequence[nn.Module] = list(self.trained[HOST].module.segments)  # type: ignore[arg-type]
        for slot, segment in enumerate(segments):
            x = graph.lower(segment, x)
            if slot in seeds:
                x = self._join(graph, x, slot, *seeds[slot])
        return graph

    def _join(self, graph: Graph, h: Node, slot: int, algorithm: Algorithm, isolated: bool) -> Node:
        """Add a seed; return the host's activation with it."""
        seen = evolve(h, detached=isolated)
        inputs = [seen, graph.lower(self.trained[_branch(slot)].module, seen)]
        if algorithm == Algorithm.GATE:
            inputs.append(graph.lower(self.trained[_gate(slot)].module, seen))
        if not isolated:
            return graph.add(Kind.JOIN, inputs, h.shape, algorithm, isolated, slot)
        graph.join_isolated(inputs, algorithm, isolated, slot)
        return h


def _idle(setting: SeedSetting) -> bool:
    """Return whether a seed neither changes the host nor learns."""
    return setting.stage == Stage.TRAINING and setting.frozen


def _branch(slot: int) -> str:
    return f"seeds.{slot}.branch"


def _gate(slot: int) -> str:
    return f"seeds.{slot}.gate"


def _slot(name: str) -> int | None:
    return None if name == HOST else int(name.split(".")[1])
