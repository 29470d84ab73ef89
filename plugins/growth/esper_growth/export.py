"""A grown host as a plain network: its segments with fossils between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper_core import SlotConfig
from esper_core.contracts.grown import Grown
from esper_growth.actions import Algorithm
from esper_growth.model import GrownHost, Seed, SeedSetting, capped
from esper_growth.problems import Problems


class Fossil(nn.Module):
    """h + alpha·c(h), with the branch in c(h) capped at the size of h."""

    alpha: Tensor

    def __init__(self, seed: Seed, alpha: float) -> None:
        super().__init__()
        self.branch = seed.branch
        self.register_buffer("alpha", torch.tensor(alpha))

    def forward(self, h: Tensor) -> Tensor:
        """Map `[B, C, *spatial]` to the same shape."""
        return h + self.alpha * capped(self.branch(h), h)


class MultipliedFossil(Fossil):
    """h + alpha·h·tanh(f(h)), with f capped at the size of h."""

    def forward(self, h: Tensor) -> Tensor:
        """Map `[B, C, *spatial]` to the same shape."""
        return h + self.alpha * (h * torch.tanh(capped(self.branch(h), h)))


class GatedFossil(Fossil):
    """h + alpha·g(h)·f(h), with f capped at the size of h, and g one number per sample."""

    def __init__(self, seed: Seed, alpha: float) -> None:
        super().__init__(seed, alpha)
        assert seed.gate is not None, "a gated seed has a gate"
        self.gate = seed.gate

    def forward(self, h: Tensor) -> Tensor:
        """Map `[B, C, *spatial]` to the same shape."""
        return h + self.alpha * (self.gate(h) * capped(self.branch(h), h))


class Composition(nn.Module):
    """One part after the other."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs `[B, ...]` to logits `[B, classes]`."""
        for part in self.children():
            x = part(x)
        return x


FOSSILS: dict[Algorithm, type[Fossil]] = {
    Algorithm.ADD: Fossil,
    Algorithm.MULTIPLY: MultipliedFossil,
    Algorithm.GATE: GatedFossil,
}


def hand_over(
    parts: Mapping[str, Any],
    slots: SlotConfig,
    instance: int,
    weights: Mapping[str, Tensor],
    fossils: Mapping[int, SeedSetting],
    labels: Mapping[int, str],
    epochs: int,
) -> Grown:
    """Return a trained host with its fossils as a plain network.

    Args:
        parts: Task, host and blueprints.
        slots: The slots.
        instance: The host's instance.
        weights: Everything it has learned: name as in `GrownHost` → value.
        fossils: Slot → how its fossil takes part.
        labels: Slot → label of its blueprint.
        epochs: Epochs that the host was trained.
    """
    problem = Problems(parts["task"], parts["host"], parts["blueprint"], slots.num_slots).at(instance)
    validation, builder = problem.measured(epochs)["validation"], problem.builder
    grown = GrownHost(builder.host(instance))
    for slot, setting in fossils.items():
        seed = grown.seeds[str(slot)] = Seed(builder.branch(instance, slot, 1, labels[slot]))
        if setting.algorithm == Algorithm.GATE:
            seed.gate = builder.gate(instance, slot, 1)
    kept = grown.state_dict()
    grown.load_state_dict({name: weights[name] for name in kept})
    grown.to("cpu").eval().requires_grad_(False)
    inputs, targets = validation.inputs.cpu(), validation.targets.cpu()
    with torch.no_grad():
        outputs = grown(inputs, dict(fossils))
    network, notes = _network(grown, slots, fossils, labels)
    facts = {
        "instance": instance,
        "validation_accuracy": float((outputs.argmax(1) == targets).double().mean()),
        "validation_loss": float(functional.cross_entropy(outputs, targets)),
        "fossils": len(fossils),
    }
    return Grown(network, notes, inputs, outputs, facts)


def _network(
    grown: GrownHost,
    slots: SlotConfig,
    fossils: Mapping[int, SeedSetting],
    labels: Mapping[int, str],
) -> tuple[nn.Module, dict[str, str]]:
    """Return the composition of segments and fossils, and a line about each fossil."""
    *segments, tail = grown.host.segments  # type: ignore[misc]
    children: dict[str, nn.Module] = {}
    notes = {}
    for slot, segment in enumerate(segments):
        children[f"block_{slot}"] = segment
        setting = fossils.get(slot)
        if setting is None:
            continue
        seed = grown.seed(slot)
        assert seed is not None, f"slot {slot} holds a fossil"
        name = f"fossil_{slots.slot_ids[slot]}"
        children[name] = FOSSILS[setting.algorithm](seed, setting.alpha)
        blueprint = re.sub(r"[^a-z0-9]+", "-", labels[slot].lower()).strip("-")
        notes[name] = f"{blueprint}, blended by {setting.algorithm.name}, alpha {setting.alpha:g}"
    children["tail"] = tail
    return Composition(children), notes
