"""Options of the components that put a probe into a plan."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class ProbeConfig:
    """Which probe a plan trains on."""

    probe: str = option("", help="Name of the probe.")
