"""Options of the observer `heat-maps`."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class HeatMapsConfig:
    """Options of `heat-maps`."""

    every: int = option(50, low=1, help="Updates that one set of maps sums up.")
