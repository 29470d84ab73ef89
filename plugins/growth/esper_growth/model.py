"""A host with seeds in its slots: one plain module per environment."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from esper_growth.actions import Algorithm
from esper_growth.engine.graph import Graph, Kind, Node
from esper_growth.stages import IN_FORWARD, Stage

_TINY = 1e-12


class SeedSetting(NamedTuple):
    """How a seed takes part in this epoch."""

    stage: Stage
    alpha: float
    algorithm: Algorithm
    frozen: bool

    @property
    def in_forward(self) -> bool:
        """Whether the module is run at all."""
        return self.stage in IN_FORWARD

    @property
    def switchable(self) -> bool:
        """Whether switching the seed off changes the host's output."""
        return self.alpha > 0 and self.stage in (Stage.BLENDING, Stage.HOLDING, Stage.FOSSILIZED)


def capped(branch: Tensor, h: Tensor) -> Tensor:
    """Scale `branch [B, C, ...]` down, per sample, where its RMS exceeds that of `h`: rms(f) ≤ rms(h).

    A branch that trains isolated from the host's output has no other bound on its size.
    """
    dims = tuple(range(1, h.dim()))
    power, limit = branch.square().mean(dims, keepdim=True), h.square().mean(dims, keepdim=True)
    return branch * ((limit + _TINY) / (power + _TINY)).sqrt().clamp(max=1.0)


class Gate(nn.Module):
    """How much of a branch to let through, per sample in (0, 1): pooled activation → two linear layers → sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(8, channels // 4)
        self.layers = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())

    def forward(self, h: Tensor) -> Tensor:
        """Map `[B, C, *spatial]` to `[B, 1, ...]`."""
        pooled = h.flatten(2).mean(dim=2)
        return self.layers(pooled).reshape(-1, *([1] * (h.dim() - 1)))

    def lower(self, graph: Graph, h: Node) -> Node:
        """Add the layers to the engine's graph."""
        return graph.lower(self.layers, graph.add(Kind.MEAN, [h], (h.shape[0], 1, 1)))


class Seed(nn.Module):
    """A branch grown in a slot, and its gate when it is blended by one."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.gate: nn.Module | None = None

    def contribution(self, h: Tensor, algorithm: Algorithm) -> Tensor:
        """Return c of `y = h + alpha·c`: f (ADD), h·tanh(f) (MULTIPLY) or g(h)·f (GATE), with f capped at h's RMS."""
        branch = capped(self.branch(h), h)
        if algorithm == Algorithm.MULTIPLY:
            return h * torch.tanh(branch)
        if algorithm == Algorithm.GATE:
            assert self.gate is not None, "a gated seed has a gate"
            return self.gate(h) * branch
        return branch

    def join(self, h: Tensor, setting: SeedSetting) -> Tensor:
        """Return the host's activation with this seed.

        At TRAINING the value is h exactly and the seed alone receives a gradient (straight-through, input detached);
        afterwards `h + alpha·c` with gradients everywhere.
        """
        if setting.stage == Stage.TRAINING:
            c = self.contribution(h.detach(), setting.algorithm)
            return h + (c - c.detach())
        return h + setting.alpha * self.contribution(h, setting.algorithm)


class GrownHost(nn.Module):
    """A host and the seeds in its slots."""

    def __init__(self, host: nn.Module) -> None:
        super().__init__()
        self.host = host
        self.seeds = nn.ModuleDict()

    def seed(self, slot: int) -> Seed | None:
        """Return the seed in `slot`, if any."""
        return next((seed for key, seed in self.seeds.items() if key == str(slot)), None)  # type: ignore[return-value]

    def forward(self, x: Tensor, settings: dict[int, SeedSetting]) -> Tensor:
        """Return logits `[B, classes]` for inputs `[B, ...]`; `settings` has one entry per seed."""
        *segments, tail = self.host.segments  # type: ignore[misc]
        for slot, segment in enumerate(segments):
            x = segment(x)
            setting = settings.get(slot)
            if setting is not None and setting.in_forward:
                x = self.seeds[str(slot)].join(x, setting)  # type: ignore[operator]
        return tail(x)

    @torch.no_grad()
    def ablate(self, x: Tensor, settings: dict[int, SeedSetting], pairs: bool) -> tuple[Tensor, list[tuple[int, ...]]]:
        """Return logits with everything on, with each switchable seed off, and with each pair off.

        Variants share the prefix before the first seed they switch off: they travel stacked along the batch and
        fork at the slot where they begin to differ.

        Returns:
            Logits `[V, B, classes]` and, per variant, the slots switched off; variant 0 is ().
        """
        *segments, tail = self.host.segments  # type: ignore[misc]
        batch = x.shape[0]
        variants: list[tuple[int, ...]] = [()]
        for slot, segment in enumerate(segments):
            x = segment(x)
            setting = settings.get(slot)
            if setting is None or not setting.in_forward or setting.stage == Stage.TRAINING:
                continue
            joined = self.seeds[str(slot)].join(x, setting)  # type: ignore[operator]
            if setting.switchable:
                forks = [i for i, v in enumerate(variants) if len(v) < (2 if pairs else 1)]
                rows = x.unflatten(0, (len(variants), batch))[forks].flatten(0, 1)
                joined = torch.cat([joined, rows])
                variants = variants + [(*variants[i], slot) for i in forks]
            x = joined
        return tail(x).unflatten(0, (len(variants), batch)), variants
