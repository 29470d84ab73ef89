"""Options of the workload. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyWorkloadConfig:
    """Options of `my-workload`."""

    envs: int = option(4, low=1, help="Hosts that train side by side.")
    slots: int = option(3, low=1, help="Slots of each.")
    epochs: int = option(10, low=1, help="Epochs per episode.")
    updates: int = option(3, low=1, help="Updates that are timed; the median counts.")
