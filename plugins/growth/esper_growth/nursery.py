"""Where hosts, branches and gates are born: each from a seed of its own, so that none shifts another's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from esper_growth.model import Gate
from esper_growth.protocols import Blueprint, Host, Task
from esper_growth.runtime import stable_seed


class Nursery:
    """Makes plain modules for the hosts of a task.

    Attributes:
        host_parameters: Parameters of a bare host.
        slot_shapes: `(C, *spatial)` at each slot.
        widest: Numbers in the largest activation of a sample.
    """

    def __init__(self, task: Task, host: Host, blueprints: Mapping[str, Blueprint], num_slots: int) -> None:
        self._task, self._host, self._blueprints, self._num_slots = task, host, blueprints, num_slots
        probe = self.host(0)
        self.host_parameters = sum(p.numel() for p in probe.parameters())
        self.slot_shapes, self.widest = self._trace(probe)

    def host(self, instance: int) -> nn.Module:
        """Return the bare host of an instance."""
        shape = tuple(self._task.train.inputs.shape[1:])
        return self._born(lambda: self._host.build(self._num_slots, shape, self._task.classes), "host", instance)

    def branch(self, instance: int, slot: int, count: int, label: str) -> nn.Module:
        """Return the branch of the `count`-th seed that an instance grows in a slot."""
        channels, *spatial = self.slot_shapes[slot]
        return self._born(
            lambda: self._blueprints[label].build(channels, tuple(spatial)), "seed", instance, slot, count
        )

    def gate(self, instance: int, slot: int, count: int) -> nn.Module:
        """Return the gate of the `count`-th seed that an instance grows in a slot."""
        return self._born(lambda: Gate(self.slot_shapes[slot][0]), "gate", instance, slot, count)

    def _born(self, build: Callable[[], nn.Module], *identity: object) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: that would restart the streams of every GPU too, which the fork does not restore.
            torch.default_generator.manual_seed(stable_seed(*identity))
            module = build()
        inputs = self._task.train.inputs
        return module.to(device=inputs.device, dtype=inputs.dtype)

    @torch.no_grad()
    def _trace(self, host: nn.Module) -> tuple[list[tuple[int, ...]], int]:
        x, shapes, sizes = self._task.train.inputs[:1], [], [0]
        for module in host.modules():
            module.register_forward_hook(lambda module, inputs, output: sizes.append(output[0].numel()))
        for segment in list(host.segments)[:-1]:  # type: ignore[arg-type]
            x = segment(x)
            shapes.append(tuple(x.shape[1:]))
        return shapes, max(sizes)
