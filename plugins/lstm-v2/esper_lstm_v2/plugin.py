"""Registers the networks. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register `lstm-v2` and `lstm-v1`."""
    yield ComponentSpec(
        kind="network",
        name="lstm-v2",
        factory="esper_lstm_v2.network:LstmNetwork",
        config="esper_lstm_v2.config:LstmV2Config",
        summary="512-wide recurrent policy, one head per action dimension",
        defaults={"features": "obs-v3", "critic": "op-conditioned-critic", "loss": "factored-ppo"},
        provides=("network:op-logits",),
    )
    yield ComponentSpec(
        kind="network",
        name="lstm-v1",
        factory="esper_lstm_v2.network:LstmNetwork",
        config="esper_lstm_v2.config:LstmV1Config",
        summary="the 128-wide predecessor, to compare against",
        defaults={"features": "obs-v3", "critic": "state-value", "loss": "factored-ppo"},
        provides=("network:op-logits",),
    )
