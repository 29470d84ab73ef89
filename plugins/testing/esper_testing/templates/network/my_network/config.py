"""Options of the network. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyNetworkConfig:
    """Options of `my-network`; set one with `-o network.hidden_dim=256`."""

    hidden_dim: int = option(128, low=1, help="Width of encoder, GRU and latent; wider learns more and costs more.")
    layers: int = option(1, low=1, help="Stacked GRU layers; each costs as much again.")
    embed_dim: int = option(4, low=1, help="Numbers per embedded index; more can tell more categories apart.")
