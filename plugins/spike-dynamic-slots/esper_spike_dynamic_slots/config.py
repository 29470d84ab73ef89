"""Options of the spike."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class DynamicSlotsConfig:
    """Options of the spike `dynamic-slots`."""

    slots: tuple[int, ...] = option((1, 2, 3, 4, 5, 8), help="Slot counts to try when none are asked for.")
    quick_slots: tuple[int, ...] = option((1, 4), help="The same with --quick.")
