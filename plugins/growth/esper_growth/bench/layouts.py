"""Networks in other layouts, or with batch norm: what else an author might have written for the same function.

Layers are replaced one by one and keep their weights, so that a layout changes how a network is computed and nothing
else. (Batch norm changes what is computed; it is there because public systems have it.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper_growth.blueprints.transformer import ChannelNorm, Mixing
from esper_growth.hosts.transformer import Patches, Positions

Replacements = Mapping[type[nn.Module], Callable[[Any], nn.Module]]

BATCH_NORMS: dict[int, type[nn.BatchNorm1d | nn.BatchNorm2d]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


def with_batch_norm(network: nn.Module, axes: int) -> nn.Module:
    """Return the network with a BatchNorm in place of every GroupNorm, over images of so many axes."""
    return replaced(network, {nn.GroupNorm: lambda norm: BATCH_NORMS[axes](norm.num_channels)})


def channels_last(network: nn.Module, axes: int) -> nn.Module:
    """Return the network for images whose channels lie side by side; those of one axis are images of height 1."""
    if axes == 1:
        network = replaced(network, _OF_HEIGHT_ONE)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def images(x: Tensor) -> Tensor:
    """Return `[B, C, L]` or `[B, C, H, W]` as such a network takes it."""
    return (x.unsqueeze(2) if x.dim() == 3 else x).contiguous(memory_format=torch.channels_last)


def token_wise(network: nn.Module) -> nn.Module:
    """Return a network of `[B, C, L]` for `[B, L, C]`, as transformers are usually written."""
    return replaced(network, _OF_TOKENS)


def tokens(x: Tensor) -> Tensor:
    """Return `[B, C, L]` as such a network takes it."""
    return x.transpose(1, 2).contiguous()


def replaced(network: nn.Module, replacements: Replacements) -> nn.Module:
    """Return a network, changed in place, whose layers of some types are others."""
    if type(network) in replacements:
        return replacements[type(network)](network)
    for name, child in network.named_children():
        setattr(network, name, replaced(child, replacements))
    return network


def _convolution(layer: nn.Conv1d) -> nn.Module:
    kernel, bias = layer.kernel_size[0], layer.bias is not None
    wide = {"padding": (0, kernel // 2), "groups": layer.groups}
    made = nn.Conv2d(layer.in_channels, layer.out_channels, (1, kernel), bias=bias, **wide)  # type: ignore[arg-type]
    return _weighted(made, layer.weight.unsqueeze(2), layer.bias)


def _linear(layer: nn.Conv1d) -> nn.Module:
    made = nn.Linear(layer.in_channels, layer.out_channels, bias=layer.bias is not None)
    return _weighted(made, layer.weight.squeeze(2), layer.bias)


def _weighted(layer: nn.Module, weight: Tensor, bias: Any) -> nn.Module:
    layer.register_parameter("weight", nn.Parameter(weight.detach()))
    layer.register_parameter("bias", bias)
    return layer


class _Norm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:])


class _Mixing(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = x.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class _Patches(nn.Module):
    def __init__(self, points: int) -> None:
        super().__init__()
        self.points = points

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.points)).transpose(2, 3).flatten(2)


class _Positions(nn.Module):
    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table.detach().t().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


_OF_HEIGHT_ONE: Replacements = {
    nn.Conv1d: _convolution,
    nn.MaxPool1d: lambda pool: nn.MaxPool2d((1, pool.kernel_size)),
    nn.AdaptiveAvgPool1d: lambda pool: nn.AdaptiveAvgPool2d(1),
    nn.BatchNorm1d: lambda norm: nn.BatchNorm2d(norm.num_features),
}
_OF_TOKENS: Replacements = {
    nn.Conv1d: _linear,
    ChannelNorm: lambda norm: _Norm(),
    Mixing: lambda mixing: _Mixing(mixing.heads),
    Patches: lambda patches: _Patches(patches.points),
    Positions: lambda positions: _Positions(positions.table),
    nn.AdaptiveAvgPool1d: lambda pool: _Mean(),
}
