"""Options of the networks."""

from __future__ import annotations

from attrs import frozen

from esper_core import option

_WIDTH = "Width of features, LSTM and latent; wider learns more and costs quadratically more."
_LAYERS = "Stacked LSTM layers; each costs as much again and needs longer to train."
_EMBED = "Numbers per embedded index; more can tell more categories apart."
_DEEP = "Heads with two hidden layers instead of one; names that the environment lacks are ignored."


@frozen
class LstmV2Config:
    """Options of `lstm-v2`."""

    hidden_dim: int = option(512, low=4, high=65536, help=_WIDTH)
    lstm_layers: int = option(1, low=1, high=256, help=_LAYERS)
    embed_dim: int = option(4, low=1, high=65536, help=_EMBED)
    deep_heads: tuple[str, ...] = option(("blueprint",), converter=tuple, help=_DEEP)


@frozen
class LstmV1Config:
    """Options of `lstm-v1`."""

    hidden_dim: int = option(128, low=4, high=65536, help=_WIDTH)
    lstm_layers: int = option(1, low=1, high=256, help=_LAYERS)
    embed_dim: int = option(4, low=1, high=65536, help=_EMBED)
    deep_heads: tuple[str, ...] = option((), converter=tuple, help=_DEEP)
