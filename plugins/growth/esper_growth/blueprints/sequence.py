"""The five blueprints for sequence hosts `[B, C, L]` alone, each the branch f of `h + alpha·f(h)`; all initially 0.

Only the last linear map is initialised to zero, so that every parameter has a gradient within two steps. Linear maps
over channels are 1-wide convolutions in this layout.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import frozen
from torch import nn

from esper_core.contracts.protocols import BuildContext
from esper_growth.blueprints.transformer import BiasedMixing, heads_of, perceptron, self_attention, silent
from esper_growth.config import LoraConfig, LoraLargeConfig


@frozen
class SequenceBlueprint:
    """Kind `blueprint` for sequence hosts: wraps a function from channels and length to a module."""

    make: Callable[[int, int], nn.Module]
    topologies: tuple[str, ...] = ("sequence",)

    def build(self, channels: int, spatial: tuple[int, ...]) -> nn.Module:
        """Return a branch from `[B, channels, L]` to the same shape."""
        (length,) = spatial
        return self.make(channels, length)


def _low_rank(channels: int, length: int, rank: int) -> nn.Module:
    down, up = nn.Conv1d(channels, rank, 1, bias=False), nn.Conv1d(rank, channels, 1, bias=False)
    return silent(nn.Sequential(down, up))


def _perceptron(channels: int, length: int, expansion: int) -> nn.Module:
    return silent(perceptron(channels, expansion * channels))


def _flex_attention(channels: int, length: int) -> nn.Module:
    return silent(self_attention(channels, BiasedMixing(heads_of(channels), length)))


def lora(config: LoraConfig, context: BuildContext) -> SequenceBlueprint:
    """A linear map of low rank: 2rC parameters."""
    return SequenceBlueprint(partial(_low_rank, rank=config.rank))


def lora_large(config: LoraLargeConfig, context: BuildContext) -> SequenceBlueprint:
    """A linear map of higher rank: 2rC parameters."""
    return SequenceBlueprint(partial(_low_rank, rank=config.rank))


def mlp_small(config: None, context: BuildContext) -> SequenceBlueprint:
    """Two layers, twice as wide in the middle: 4C² + 3C parameters."""
    return SequenceBlueprint(partial(_perceptron, expansion=2))


def mlp(config: None, context: BuildContext) -> SequenceBlueprint:
    """Two layers, four times as wide in the middle: 8C² + 5C parameters."""
    return SequenceBlueprint(partial(_perceptron, expansion=4))


def flex_attention(config: None, context: BuildContext) -> SequenceBlueprint:
    """Self-attention that knows distances: 4C² + C + heads·(2L − 1) parameters."""
    return SequenceBlueprint(_flex_attention)
