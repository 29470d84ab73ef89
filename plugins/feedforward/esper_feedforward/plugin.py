"""Registers the networks. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl

BESIDE = {"features": "flat", "critic": "state-value", "loss": "factored-ppo"}


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register `mlp` and `nature-cnn`."""
    yield ComponentSpec(
        kind="network",
        name="mlp",
        factory="esper_feedforward.mlp:MlpNetwork",
        config="esper_feedforward.config:MlpConfig",
        summary="layers without memory, of their own for actions and critic",
        defaults=BESIDE,
        provides=("network:op-logits",),
    )
    yield ComponentSpec(
        kind="network",
        name="nature-cnn",
        factory="esper_feedforward.nature_cnn:NatureCnn",
        config="esper_feedforward.config:NatureCnnConfig",
        summary="convolutions without memory, for images",
        defaults=BESIDE,
        provides=("network:op-logits", "network:arrays"),
        only_by_name=True,
    )
