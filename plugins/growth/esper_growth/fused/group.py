"""A few hosts as one network: few enough that their activations stay in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
from attrs import define, field
from torch import Tensor, nn
from torch.nn import functional

from esper_core.contracts.precision import widened
from esper_growth.actions import Algorithm
from esper_growth.fused.fold import Folded, fold
from esper_growth.fused.join import Join
from esper_growth.fused.joins import grow
from esper_growth.fused.stack import Stack, descend
from esper_growth.model import SeedSetting
from esper_growth.stages import Stage

Key = TypeVar("Key")

HostSettings = Mapping[int, SeedSetting]
"""Slot → how its seed takes part."""


class SeedHealth(NamedTuple):
    """Gradient norms of one seed at the last step: per tensor, `[tensors]`."""

    host: int
    slot: int
    norms: Tensor


@define(eq=False)
class HostGroup:
    """Hosts 0 to n−1 of a group.

    Attributes:
        count: n.
        classes: Classes of the task.
        computing: dtype of activations. Parameters and losses are wider where it is half precision.
        base: Parameters of the bare hosts.
        segments: Folded segments of the host.
        seeds: Parameters of seeds, by slot and blueprint label.
        gates: Parameters of gates, by slot.
        labels: Blueprint label of each seed, by host and slot.
    """

    count: int
    classes: int
    computing: torch.dtype
    base: Stack
    segments: list[Folded]
    seeds: dict[tuple[int, str], Stack] = field(factory=dict)
    gates: dict[int, Stack] = field(factory=dict)
    labels: dict[tuple[int, int], str] = field(factory=dict)

    @classmethod
    def of(cls, hosts: Sequence[nn.Module], classes: int, computing: torch.dtype) -> HostGroup:
        """Return the group of some plain hosts, all of one architecture, that computes in one dtype."""
        template = hosts[0]
        segments = [fold(segment, f"segments.{i}.") for i, segment in enumerate(template.segments)]  # type: ignore[arg-type]
        base = Stack(segments[0], computing)
        for position, host in enumerate(hosts):
            base.add(position, host)
        return cls(len(hosts), classes, computing, base, segments)

    # Growing --------------------------------------------------------------------------------------------------------

    def germinate(self, host: int, slot: int, label: str, branch: nn.Module) -> None:
        """Put a branch into an empty slot."""
        key = (slot, label)
        if key not in self.seeds:
            self.seeds[key] = Stack(fold(branch), self.computing)
        self.seeds[key].add(host, branch)
        self.labels[host, slot] = label

    def open_gate(self, host: int, slot: int, gate: nn.Module) -> None:
        """Give a seed a gate."""
        if slot not in self.gates:
            self.gates[slot] = Stack(fold(gate), self.computing)
        self.gates[slot].add(host, gate)

    def has_gate(self, host: int, slot: int) -> bool:
        """Return whether a seed has a gate."""
        return slot in self.gates and host in self.gates[slot].hosts

    def close_gate(self, host: int, slot: int) -> None:
        """Take a seed's gate away."""
        _remove(self.gates, slot, host)

    def remove(self, host: int, slot: int) -> None:
        """Empty a slot."""
        _remove(self.seeds, (slot, self.labels.pop((host, slot))), host)
        if self.has_gate(host, slot):
            self.close_gate(host, slot)

    def seed_parameters(self) -> Iterator[tuple[int, int, int]]:
        """Yield host, slot and number of parameters of every seed, gate included."""
        for (host, slot), label in self.labels.items():
            gate = self.gates[slot].parameters_per_row() if self.has_gate(host, slot) else 0
            yield host, slot, self.seeds[slot, label].parameters_per_row() + gate

    def read(self, host: int) -> dict[str, tuple[Tensor, Tensor]]:
        """Return copies of everything a host has learned: name as in `GrownHost` → (value, momentum)."""
        found = {f"host.{name}": entry for name, entry in self.base.read(host).items()}
        for (owner, slot), label in self.labels.items():
            if owner != host:
                continue
            stack = self.seeds[slot, label]
            found |= {f"seeds.{slot}.branch.{n}": entry for n, entry in stack.read(stack.row(host)).items()}
            if self.has_gate(host, slot):
                gate = self.gates[slot]
                found |= {f"seeds.{slot}.gate.{n}": entry for n, entry in gate.read(gate.row(host)).items()}
        return found

    def write(self, host: int, content: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Overwrite what a host has learned with what `read` returned, or with a part of it."""

        def part(prefix: str) -> dict[str, tuple[Tensor, Tensor]]:
            return {name.removeprefix(prefix): entry for name, entry in content.items() if name.startswith(prefix)}

        self.base.write(host, part("host."))
        for (owner, slot), label in self.labels.items():
            if owner != host:
                continue
            stack = self.seeds[slot, label]
            stack.write(stack.row(host), part(f"seeds.{slot}.branch."))
            if self.has_gate(host, slot):
                gate = self.gates[slot]
                gate.write(gate.row(host), part(f"seeds.{slot}.gate."))

    # Training -------------------------------------------------------------------------------------------------------

    def joins(self, settings: Sequence[HostSettings]) -> list[list[Join]]:
        """Return, per slot, the seeds that take part, those that do so alike together."""
        return [
            list(self._joins_at(slot, list(range(self.count)), settings, with_training=True))
            for slot in range(len(self.segments) - 1)
        ]

    def step(
        self,
        inputs: Tensor,
        targets: Tensor,
        joins: Sequence[Sequence[Join]],
        frozen: Mapping[int, Sequence[int]],
        *,
        lr: float,
        momentum: float,
        max_grad_norm: float,
    ) -> None:
        """Take one optimiser step.

        Args:
            inputs: `[B, n, *sample]`.
            targets: Class indices `[B, n]`.
            joins: From `joins`.
            frozen: Host → slots whose seeds do not learn.
            lr: Learning rate.
            momentum: Of the optimiser.
            max_grad_norm: Bound for each host and each seed; 0 is off.
        """
        stacks = self._stacks(frozen)
        for stack, _ in stacks:
            for value in stack.values.values():
                value.grad = None
        x, base = inputs.flatten(1, 2).to(self.computing), self.base.select(None)
        *segments, tail = self.segments
        for segment, at_slot in zip(segments, joins, strict=True):
            x = segment(x, base, self.count)
            x = grow(x, at_slot, self.count)
        logits = widened(tail(x, base, self.count)).view(-1, self.classes)
        # The sum over hosts of each one's mean: no host's gradient depends on how many there are.
        loss = functional.cross_entropy(logits, targets.reshape(-1), reduction="sum") / targets.shape[0]
        loss.backward()
        if max_grad_norm > 0:
            self._clip(max_grad_norm)
        descend(stacks, lr, momentum)

    def seed_health(self, frozen: Mapping[int, Sequence[int]]) -> list[SeedHealth]:
        """Return the gradient norms of all seeds that learned in the last step."""
        found = []
        for (slot, _), stack in self.seeds.items():
            squares = stack.squared_norms()
            if squares is None:
                continue
            gate = self.gates.get(slot)
            gate_squares = gate.squared_norms() if gate is not None else None
            for row, host in enumerate(stack.hosts):
                if slot in frozen.get(host, ()):
                    continue
                norms = squares[:, row]
                if gate is not None and gate_squares is not None and host in gate.hosts:
                    norms = torch.cat([norms, gate_squares[:, gate.row(host)]])
                found.append(SeedHealth(host, slot, norms.sqrt()))
        return found

    def _stacks(self, frozen: Mapping[int, Sequence[int]]) -> list[tuple[Stack, list[int]]]:
        """Return all stacks, each with the rows that must not move."""

        def still(slot: int, stack: Stack) -> list[int]:
            return [row for row, host in enumerate(stack.hosts) if slot in frozen.get(host, ())]

        seeds = [(stack, still(slot, stack)) for (slot, _), stack in self.seeds.items()]
        return [(self.base, []), *seeds, *((stack, still(slot, stack)) for slot, stack in self.gates.items())]

    def _clip(self, bound: float) -> None:
        def factor(squares: Tensor) -> Tensor:
            return (bound / (squares.sqrt() + 1e-6)).clamp(max=1.0)

        base = self.base.squared_norms()
        assert base is not None, "every host has gradients"
        self.base.scale_gradients(factor(base.sum(dim=0)))
        for (slot, _), stack in self.seeds.items():
            squares = stack.squared_norms()
            if squares is None:
                continue
            total = squares.sum(dim=0)
            gate = self.gates.get(slot)
            gate_squares = gate.squared_norms() if gate is not None else None
            shared = [host for host in stack.hosts if gate is not None and host in gate.hosts]
            if gate is not None and gate_squares is not None and shared:
                # Row by row: a tensor of row numbers would be copied to the device in every step.
                totals, gate_totals = list(total.unbind()), gate_squares.sum(dim=0)
                for host in shared:
                    totals[stack.row(host)] = totals[stack.row(host)] + gate_totals[gate.row(host)]
                total = torch.stack(totals)
                factors, gate_factors = factor(total), torch.ones_like(gate_totals)
                for host in shared:
                    gate_factors[gate.row(host)].copy_(factors[stack.row(host)])
                gate.scale_gradients(gate_factors)
            stack.scale_gradients(factor(total))

    def _joins_at(
        self, slot: int, owners: Sequence[int], settings: Sequence[HostSettings], *, with_training: bool
    ) -> Iterator[Join]:
        """Yield the joins at a slot when position i along the host axis belongs to host `owners[i]`."""
        alike: dict[tuple[str, bool, Algorithm, bool], list[int]] = {}
        for position, host in enumerate(owners):
            setting = settings[host].get(slot)
            if setting is None or not setting.in_forward:
                continue
            training = setting.stage == Stage.TRAINING
            if training and not with_training:
                continue
            key = (self.labels[host, slot], training, setting.algorithm, setting.frozen)
            alike.setdefault(key, []).append(position)
        like = self.base.values[next(iter(self.base.values))]

        def index(entries: list[int], total: int) -> Tensor | None:
            return None if entries == list(range(total)) else torch.tensor(entries, device=like.device)

        for (label, training, algorithm, is_frozen), positions in alike.items():
            hosts = [owners[p] for p in positions]
            seeds = self.seeds[slot, label]
            gates = self.gates[slot] if algorithm == Algorithm.GATE else None
            yield Join(
                seeds=seeds,
                gates=gates,
                hosts=None if positions == list(range(len(owners))) else positions,
                rows=index([seeds.row(host) for host in hosts], len(seeds.hosts)),
                gate_rows=None if gates is None else index([gates.row(host) for host in hosts], len(gates.hosts)),
                alpha=torch.tensor(
                    [settings[host][slot].alpha for host in hosts], dtype=self.computing, device=like.device
                ),
                training=training,
                algorithm=algorithm,
                frozen=is_frozen,
            )

    # Measuring ------------------------------------------------------------------------------------------------------

    def ablate(
        self, settings: Sequence[HostSettings], pairs: bool
    ) -> tuple[Callable[[Tensor], Tensor], list[int], list[tuple[int, ...]]]:
        """Prepare one pass that measures every host with everything on, each switchable seed off, and each pair off.

        A variant begins at the slot where it differs and shares everything before.

        Returns:
            A function from inputs `[B, n, *sample]` to logits `[B, V, classes]`, and per variant its host and the slots
            switched off; the first n variants are the hosts as they are.
        """
        owners = list(range(self.count))
        off: list[tuple[int, ...]] = [()] * self.count
        device = self.base.values[next(iter(self.base.values))].device
        stages: list[tuple[Folded, dict[str, Tensor], list[Join], Tensor | None, int]] = []
        *segments, tail = self.segments
        for slot, segment in enumerate(segments):
            base_rows = None if len(owners) == self.count else torch.tensor(owners, device=device)
            joins = list(self._joins_at(slot, owners, settings, with_training=False))
            forks = [
                position
                for position, host in enumerate(owners)
                if len(off[position]) < (2 if pairs else 1)
                and (setting := settings[host].get(slot)) is not None
                and setting.switchable
            ]
            forked = torch.tensor(forks, device=device) if forks else None
            stages.append((segment, self.base.select(base_rows), joins, forked, len(owners)))
            owners = owners + [owners[position] for position in forks]
            off = off + [(*off[position], slot) for position in forks]
        last_rows = None if len(owners) == self.count else torch.tensor(owners, device=device)
        base_of_variants = self.base.select(last_rows)

        def run(inputs: Tensor) -> Tensor:
            batch = inputs.shape[0]
            x = inputs.flatten(1, 2).to(self.computing)
            for segment, base, joins, forked, count in stages:
                x = segment(x, base, count)
                unjoined = None
                if forked is not None:
                    unjoined = x.unflatten(1, (count, -1)).index_select(1, forked).flatten(1, 2)
                x = grow(x, joins, count)
                if unjoined is not None:
                    x = torch.cat([x, unjoined], dim=1)
            return tail(x, base_of_variants, len(owners)).view(batch, len(owners), self.classes)

        return run, owners, off


def _remove(stacks: dict[Key, Stack], key: Key, host: int) -> None:
    stacks[key].remove(host)
    if not stacks[key].hosts:
        del stacks[key]
