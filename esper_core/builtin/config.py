"""Options of the core's components."""

from __future__ import annotations

from attrs import frozen

from esper_core.contracts.options import option


@frozen
class FlatConfig:
    """Options of the features `flat`."""

    scale: bool = option(True, help="Map each field's declared range to 0..1 and clamp; false passes raw numbers.")


@frozen
class TensorBoardConfig:
    """Options of the observer `tensorboard`."""

    flush: int = option(10, low=1, help="Seconds between writes to disk; fewer show sooner what a run does.")
