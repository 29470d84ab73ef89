"""Options of the observer. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyObserverConfig:
    """Options of `my-observer`."""

    metrics: tuple[str, ...] = option(
        ("return", "value_loss", "entropy"), converter=tuple, help="Metrics to write down, one column each."
    )
