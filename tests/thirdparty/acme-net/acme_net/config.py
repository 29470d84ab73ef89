"""Options of the network."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class AcmeConfig:
    """Options of `acme-gru`."""

    hidden_dim: int = option(32, low=2, help="Width of the GRU; wider remembers more.")
    embed_dim: int = option(2, low=1, help="Numbers per embedded index.")
