"""Options of the spike. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MySpikeConfig:
    """Options of `my-spike`."""

    slots: tuple[int, ...] = option((1, 3, 5), converter=tuple, help="Slot counts to try when none are asked for.")
    least_entropy: float = option(0.9, low=0.0, high=1.0, help="Share of the largest entropy that a head must have.")
