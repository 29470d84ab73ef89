"""The layers that both networks are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from esper_core.contracts.actions import ActionSpec, AnyHead, ContinuousHead
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.protocols import Features

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

FINAL_GAIN = 0.01
"""Of the last layer: at first every action is about as likely as any other."""


class Nothing(NamedTuple):
    """The recurrent state of what remembers nothing."""


def linear(inputs: int, outputs: int, gain: float = math.sqrt(2)) -> nn.Linear:
    """Return a layer with an orthogonal weight and no bias at first."""
    return initialised(nn.Linear(inputs, outputs), gain)


def initialised(layer: Layer, gain: float = math.sqrt(2)) -> Layer:
    """Return a layer, its weight made orthogonal and its bias 0."""
    nn.init.orthogonal_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class Embedded(nn.Module):
    """Numbers and embedded categories side by side; −1, which stands for none, has a row of its own."""

    def __init__(self, schema: FeatureSchema, embed_dim: int) -> None:
        super().__init__()
        self._names = tuple(block.name for block in schema.indices)
        self.width = schema.dim + embed_dim * sum(block.width for block in schema.indices)
        # A list, not a ModuleDict: that refuses names such as "type".
        self.tables = nn.ModuleList(nn.Embedding(block.vocabulary + 1, embed_dim) for block in schema.indices)

    def forward(self, features: Features) -> Tensor:
        """Map `obs [E, T, D]` and `indices [E, T, width]` to `[E, T, width]`."""
        if not self._names:
            return features.obs
        pairs = zip(self._names, self.tables, strict=True)
        embedded = [table(features.indices[name] + 1).flatten(-2) for name, table in pairs]
        return torch.cat([features.obs, *embedded], dim=-1)


class FreeStd(nn.Module):
    """A layer for the means of numbers; the logs of their standard deviations are parameters, 0 at first."""

    def __init__(self, inputs: int, numbers: int) -> None:
        super().__init__()
        self.mean = linear(inputs, numbers, FINAL_GAIN)
        self.log_std = nn.Parameter(torch.zeros(numbers))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `[..., inputs]` to means and log standard deviations, `[..., 2·n]`."""
        mean = self.mean(hidden)
        return torch.cat([mean, self.log_std.to(mean.dtype).expand_as(mean)], dim=-1)


class Heads(nn.Module):
    """One layer per head of the action table."""

    def __init__(self, inputs: int, actions: ActionSpec, free_std: bool) -> None:
        super().__init__()
        self._names = actions.names
        self.layers = nn.ModuleList(_head(head, inputs, free_std) for head in actions.heads)

    def forward(self, hidden: Tensor) -> dict[str, Tensor]:
        """Map `[..., inputs]` to `[..., size]` per head."""
        return {name: layer(hidden) for name, layer in zip(self._names, self.layers, strict=True)}


def _head(head: AnyHead, inputs: int, free_std: bool) -> nn.Module:
    if free_std and isinstance(head, ContinuousHead):
        return FreeStd(inputs, len(head.dims))
    return linear(inputs, head.size, FINAL_GAIN)


def stack(inputs: int, widths: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Return layers of these widths, each followed by the activation."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [linear(inputs, width), activation()]
        inputs = width
    return nn.Sequential(*layers)
