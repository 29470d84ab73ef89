"""Registers the network `my-network`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the network."""
    yield ComponentSpec(
        kind="network",
        name="my-network",
        factory="my_network.network:MyNetwork",
        config="my_network.config:MyNetworkConfig",
        summary="a GRU and one linear head per action dimension",
        # What `--policy my-network` is completed with; `flat` fits every environment.
        defaults={"features": "flat", "critic": "state-value", "loss": "factored-ppo"},
        # There is one logit per operation, which critics that look at the operation ask for.
        provides=("network:op-logits",),
    )
