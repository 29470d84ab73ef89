"""Where hosts, branches and gates are born: each from a seed of its own, so that none shifts another's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from esper_core.export.count import count
from esper_growth.model import Gate
from esper_growth.protocols import Blueprint, Host
from esper_growth.runtime import stable_seed


class Nursery:
    """Makes plain modules for hosts of one architecture.

    Attributes:
        name: The architecture's.
        host_parameters: Parameters of a bare host.
        slot_shapes: `(C, *spatial)` at each slot.
        widest: Numbers in the largest activation of a sample.
        host_flops: Operations of a bare host on one sample, counted as in `esper_core.export.count`.
    """

    def __init__(
        self, host: Host, blueprints: Mapping[str, Blueprint], num_slots: int, sample: Tensor, classes: int
    ) -> None:
        self.name = host.name
        self._host, self._blueprints, self._num_slots, self._sample, self._classes = (
            host,
            blueprints,
            num_slots,
            sample,
            classes,
        )
        probe = self.host(0)
        self.host_parameters = sum(p.numel() for p in probe.parameters())
        self.slot_shapes, self.widest = self._trace(probe)
        self.host_flops = count(probe, sample)[0].flops
        self._branch_flops: dict[tuple[int, str], int] = {}

    def host(self, instance: int) -> nn.Module:
        """Return the bare host of an instance."""
        shape = tuple(self._sample.shape[1:])
        return self._born(lambda: self._host.build(self._num_slots, shape, self._classes), "host", instance)

    def branch(self, instance: int, slot: int, count: int, label: str) -> nn.Module:
        """Return the branch of the `count`-th seed that an instance grows in a slot."""
        channels, *spatial = self.slot_shapes[slot]
        return self._born(
            lambda: self._blueprints[label].build(channels, tuple(spatial)), "seed", instance, slot, count
        )

    def gate(self, instance: int, slot: int, count: int) -> nn.Module:
        """Return the gate of the `count`-th seed that an instance grows in a slot."""
        return self._born(lambda: Gate(self.slot_shapes[slot][0]), "gate", instance, slot, count)

    def branch_flops(self, slot: int, label: str) -> int:
        """Return the operations of a blueprint's branch in a slot on one sample."""
        if (slot, label) not in self._branch_flops:
            sample = self._sample.new_zeros(1, *self.slot_shapes[slot])
            self._branch_flops[slot, label] = count(self.branch(0, slot, 0, label), sample)[0].flops
        return self._branch_flops[slot, label]

    def _born(self, build: Callable[[], nn.Module], *identity: object) -> nn.Module:
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
