"""Registers the network. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register `lstm-slots`."""
    yield ComponentSpec(
        kind="network",
        name="lstm-slots",
        factory="esper_lstm_slots.network:LstmSlots",
        config="esper_lstm_slots.config:LstmSlotsConfig",
        summary="recurrent policy with the same weights for any number of slots: one memory per slot, and a shared one",
        defaults={"features": "obs-slots", "critic": "op-conditioned-critic", "loss": "factored-ppo"},
        provides=("network:op-logits", "network:any-slots"),
    )
