"""Builds hosts, branches and gates, each from a seed of its own, so that none depends on how many came before."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from esper_core.contracts.foreign import guarded
from esper_core.policy.cost import count
from esper_growth.actions import Algorithm
from esper_growth.model import Gate, Seed
from esper_growth.protocols import Blueprint, Host, on
from esper_growth.runtime import stable_seed


class ModuleBuilder:
    """Builds plain modules for hosts of one architecture.

    Attributes:
        architecture: The host component that builds bare hosts.
        name: Its name.
        host_parameters: Parameters of a bare host.
        slot_shapes: `(C, *spatial)` at each slot.
        widest: Numbers in the largest activation of a sample.
        host_flops: Operations of a bare host on one sample, counted as in `esper_core.policy.cost`.
    """

    def __init__(
        self, host: Host, blueprints: Mapping[str, Blueprint], num_slots: int, sample: Tensor, classes: int
    ) -> None:
        self.architecture, self.name = host, host.name
        self._blueprints, self._num_slots, self._sample, self._classes = blueprints, num_slots, sample, classes
        probe = self.host(0)
        self.host_parameters = sum(p.numel() for p in probe.parameters())
        with guarded(f"The host '{self.name}'", f"running on a sample {tuple(sample.shape)}"):
            self.slot_shapes, self.widest = self._trace(probe)
            self.host_flops = count(probe, sample)[0].flops
        self._seed_flops: dict[tuple[int, str, bool], int] = {}

    def host(self, instance: int) -> nn.Module:
        """Return the bare host of an instance."""
        shape = tuple(self._sample.shape[1:])
        with guarded(f"The host '{self.name}'", f"building a host with {self._num_slots} slots for samples {shape}"):
            return self._built(lambda: self.architecture.build(self._num_slots, shape, self._classes), "host", instance)

    def branch(self, instance: int, slot: int, count: int, label: str) -> nn.Module:
        """Return the branch of the `count`-th seed that an instance grows in a slot."""
        channels, *spatial = self.slot_shapes[slot]
        blueprint = on(self._blueprints[label], self.architecture.topology)
        with guarded(f"The blueprint '{label}'", f"building a branch for {(channels, *spatial)}"):
            return self._built(lambda: blueprint.build(channels, tuple(spatial)), "seed", instance, slot, count)

    def gate(self, instance: int, slot: int, count: int) -> nn.Module:
        """Return the gate of the `count`-th seed that an instance grows in a slot."""
        return self._built(lambda: Gate(self.slot_shapes[slot][0]), "gate", instance, slot, count)

    def seed_flops(self, slot: int, label: str, algorithm: Algorithm) -> int:
        """Return the operations of a seed in a slot on one sample: of its branch, and of its gate where it has one."""
        key = (slot, label, algorithm == Algorithm.GATE)
        if key not in self._seed_flops:
            seed = Seed(self.branch(0, slot, 0, label))
            if algorithm == Algorithm.GATE:
                seed.gate = self.gate(0, slot, 0)
            sample = self._sample.new_zeros(1, *self.slot_shapes[slot])
            with guarded(f"The blueprint '{label}'", f"running on {tuple(sample.shape)}"):
                self._seed_flops[key] = sum(count(part, sample)[0].flops for part in seed.children())
        return self._seed_flops[key]

    def _built(self, build: Callable[[], nn.Module], *identity: object) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: that would restart the streams of every GPU too, which the fork does not restore.
            torch.default_generator.manual_seed(stable_seed(*identity))
            module = build()
        return module.to(device=self._sample.device, dtype=self._sample.dtype)

    @torch.no_grad()
    def _trace(self, host: nn.Module) -> tuple[list[tuple[int, ...]], int]:
        x, shapes, sizes = self._sample, [], [0]
        for module in host.modules():
            module.register_forward_hook(lambda module, inputs, output: sizes.append(output[0].numel()))
        for segment in list(host.segments)[:-1]:  # type: ignore[arg-type]
            x = segment(x)
            shapes.append(tuple(x.shape[1:]))
        return shapes, max(sizes)
