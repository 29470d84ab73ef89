"""Registers the loss and the spike that proves it. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register `factored-ppo` and `ppo-probes`."""
    yield ComponentSpec(
        kind="loss",
        name="factored-ppo",
        factory="esper_factored_ppo.loss:FactoredPpo",
        config="esper_factored_ppo.config:FactoredPpoConfig",
        metrics="esper_factored_ppo.metrics:METRICS",
        summary="clipped surrogate per head, over the steps at which the head mattered",
    )
    yield ComponentSpec(
        kind="spike",
        name="ppo-probes",
        factory="esper_factored_ppo.probes.spike:PpoProbes",
        config="esper_factored_ppo.probes.config:PpoProbesConfig",
        summary="does a policy learn what has a known answer?",
    )
