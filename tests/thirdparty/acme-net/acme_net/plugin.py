"""Registers the network `acme-gru`."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the network."""
    yield ComponentSpec(
        kind="network",
        name="acme-gru",
        factory="acme_net.network:AcmeGru",
        config="acme_net.config:AcmeConfig",
        summary="a small GRU",
        defaults={"features": "flat", "critic": "state-value", "loss": "factored-ppo"},
        provides=("network:op-logits",),
    )
