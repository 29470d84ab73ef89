"""Options of the network."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class LstmSlotsConfig:
    """Options of `lstm-slots`. None of them is about how many slots there are."""

    hidden_dim: int = option(
        128, low=4, high=65536, help="Width of the shared LSTM and of the latent; costs grow with its square."
    )
    slot_dim: int = option(
        64, low=4, high=65536, help="Width of what is known of one slot; costs grow with its square and with N."
    )
    key_dim: int = option(
        32, low=1, high=65536, help="Numbers by which an operation chooses among slots; more can tell more slots apart."
    )
    embed_dim: int = option(
        4, low=1, high=65536, help="Numbers per embedded index; more can tell more categories apart."
    )
    slot_memory: bool = option(
        True, help="Each slot has a memory of its own; without, slots are seen anew at every step, at less cost."
    )
