"""Options of the spike, and of the components that put a probe into a plan."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class PpoProbesConfig:
    """Options of `ppo-probes`."""

    parts: bool = option(False, help="Rollouts that begin and end in the middle of episodes, not whole ones.")


@frozen
class ProbeConfig:
    """Which probe a plan trains on."""

    probe: str = option("", help="Name of the probe.")
