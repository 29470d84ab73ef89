"""Parts of transformers, for sequences `[B, C, L]`. A linear map over channels is a 1-wide convolution here."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper_growth.engine.graph import Graph, Kind, Node, Shape

MAX_HEADS = 4
NORM_EPS = 1e-5


def heads_of(channels: int) -> int:
    """Return the largest of 4, 2, 1 heads that divides the channels."""
    return next(heads for heads in (MAX_HEADS, 2, 1) if channels % heads == 0)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each position, without parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, L]` to the same shape."""
        return functional.layer_norm(x.transpose(1, 2), x.shape[1:2], eps=NORM_EPS).transpose(1, 2)

    def lower(self, graph: Graph, x: Node) -> Node:
        """Add the layer to the engine's graph."""
        return graph.add(Kind.CHANNEL_NORM, [x], x.shape, NORM_EPS)


def mix(x: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Return the mean of all values at each position, weighted by how well its query fits their keys, `[B, C, L]`.

    Args:
        x: Queries, keys and values, `[B, 3C, L]`.
        heads: Parts of the channels that are weighted apart.
        bias: Added to the fit, `[heads, L, L]` or one per sample in front.
    """
    parts = x.unflatten(1, (3, heads, -1))
    query, key, value = parts[:, 0], parts[:, 1], parts[:, 2]
    fit = torch.matmul(query.transpose(2, 3), key) / key.shape[2] ** 0.5
    if bias is not None:
        fit = fit + bias
    return torch.matmul(value, fit.softmax(dim=3).transpose(2, 3)).flatten(1, 2)


def spread(bias: Tensor) -> Tensor:
    """Return the bias of every pair of positions, `[..., H, L, L]`, from that by distance, `[..., H, 2L − 1]`."""
    return bias.unfold(-1, (bias.shape[-1] + 1) // 2, 1).flip(-2)


def mixed(x: Node) -> Shape:
    """Return the shape of attention over queries, keys and values."""
    channels, *space = x.shape
    return (channels // 3, *space)  # type: ignore[return-value]


class Mixing(nn.Module):
    """Attention over what `qkv` made; no parameters."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Map queries, keys and values `[B, 3C, L]` to `[B, C, L]`."""
        return mix(x, self.heads)

    def lower(self, graph: Graph, x: Node) -> Node:
        """Add the layer to the engine's graph."""
        return graph.add(Kind.ATTENTION, [x], mixed(x), self.heads, None)


class BiasedMixing(nn.Module):
    """Attention whose fit also depends on how far apart two positions are: heads·(2L − 1) parameters, initially 0."""

    def __init__(self, heads: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.by_distance = nn.Parameter(torch.zeros(heads, 2 * length - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map queries, keys and values `[B, 3C, L]` to `[B, C, L]`."""
        return mix(x, self.heads, spread(self.by_distance))

    def lower(self, graph: Graph, x: Node) -> Node:
        """Add the layer to the engine's graph."""
        return graph.add(Kind.ATTENTION, [x], mixed(x), self.heads, self.by_distance)


def self_attention(channels: int, mixing: nn.Module) -> nn.Sequential:
    """Return [norm, queries with keys and values, mixing, projection] for `[B, C, L]`; 4C² + C parameters.

    Queries, keys and values have no bias: a key's would shift all fits of a query alike, and so never learn.
    """
    queries_keys_values = nn.Conv1d(channels, 3 * channels, 1, bias=False)
    return nn.Sequential(ChannelNorm(), queries_keys_values, mixing, nn.Conv1d(channels, channels, 1))


def perceptron(channels: int, middle: int) -> nn.Sequential:
    """Return [norm, linear to `middle` channels, GELU, linear back], position by position."""
    return nn.Sequential(ChannelNorm(), nn.Conv1d(channels, middle, 1), nn.GELU(), nn.Conv1d(middle, channels, 1))


def silent(branch: nn.Sequential) -> nn.Sequential:
    """Return the branch with its last layer, a convolution, set to zero."""
    for parameter in branch[-1].parameters():
        nn.init.zeros_(parameter)
    return branch
