"""Options of the rules."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class LieutenantConfig:
    """Options of `lieutenant`."""

    weapon_prob: float = option(
        1.0, low=0, high=1, help="How likely it fires in a decision in which it wants to; below 1 it is easier to beat."
    )
