"""Slots: places that a policy decides about. Ids read `r{row}c{column}` and sort row-major."""

from __future__ import annotations

import re
from itertools import pairwise

from attrs import field, frozen

from esper_core.contracts.errors import SlotIdError
from esper_core.contracts.tuples import as_tuple

_SLOT_ID = re.compile(r"r(0|[1-9]\d*)c(0|[1-9]\d*)")
_FORMER_NAMES = {"early": "r0c0", "mid": "r0c1", "late": "r0c2"}
_COUNT = re.compile(r"[+-]?\d+")
_DIGITS = 9
MAX_SLOTS = 64


def parse_slot_id(slot_id: str) -> tuple[int, int]:
    """Return `(row, column)` of a slot id such as `r0c2`; raises SlotIdError."""
    match = _SLOT_ID.fullmatch(slot_id)
    if match is None:
        former = _FORMER_NAMES.get(slot_id)
        hint = f"'{slot_id}' is now called '{former}'." if former else "Slot ids read r{row}c{column}, such as r0c0."
        raise SlotIdError(f"'{slot_id}' is not a slot id.", hint=hint)
    return int(match[1]), int(match[2])


def _check_count(count: int) -> None:
    if count < 1:
        raise SlotIdError(
            f"A policy needs at least one slot, not {count}.", hint="Use --slots 3, or --slots r0c0,r0c1."
        )
    if count > MAX_SLOTS:
        raise SlotIdError(f"{count} slots were asked for; at most {MAX_SLOTS} are supported.")


def _count(text: str) -> int:
    if len(text) > _DIGITS:
        raise SlotIdError(f"A number of slots is 1 to {MAX_SLOTS}, not one of {len(text)} digits.")
    return int(text)


def _check_ids(_: object, __: object, slot_ids: tuple[str, ...]) -> None:
    _check_count(len(slot_ids))
    positions = [parse_slot_id(slot_id) for slot_id in slot_ids]
    if len(set(positions)) != len(positions):
        twice = next(s for i, s in enumerate(slot_ids) if s in slot_ids[:i])
        raise SlotIdError(f"Slot '{twice}' is named twice.")
    if positions != sorted(positions):
        ordered = ",".join(sorted(slot_ids, key=parse_slot_id))
        raise SlotIdError("Slot ids must be in row-major order.", hint=f"Use --slots {ordered}.")


@frozen
class SlotConfig:
    """The ordered slots of a policy and its environments.

    The position of an id is the slot action and selects the slot's block of features, so the order never
    changes during the life of a policy.
    """

    slot_ids: tuple[str, ...] = field(converter=as_tuple, validator=_check_ids)

    @property
    def num_slots(self) -> int:
        """Number of slots, N."""
        return len(self.slot_ids)

    @classmethod
    def for_grid(cls, rows: int, columns: int) -> SlotConfig:
        """Return the slots of a grid in row-major order; raises SlotIdError for an empty grid."""
        _check_count(rows * columns)
        return cls(tuple(f"r{r}c{c}" for r in range(rows) for c in range(columns)))

    @classmethod
    def parse(cls, text: str) -> SlotConfig:
        """Read a count (`5`, the grid 1×5) or ids in order (`r0c0,r0c2`); raises SlotIdError."""
        parts = [part.strip() for part in text.split(",")]
        counts = [part for part in parts if _COUNT.fullmatch(part)]
        if not counts:
            return cls(tuple(parts))
        if len(parts) > 1:
            raise SlotIdError(
                f"'{text}' holds several numbers of slots, where one is needed.",
                hint=f"Choose one, --slots {counts[-1]}, or name ids, --slots r0c0,r0c1. Several numbers are for: "
                "esper train, where a network takes any, and esper spike run or esper matrix.",
            )
        return cls.for_grid(1, _count(parts[0]))

    @classmethod
    def parse_drawn(cls, text: str) -> tuple[SlotConfig, tuple[int, ...]]:
        """Read the slots of a training: as `parse` does, or several counts (`1,2,3`), of which each update draws one.

        Returns the slots, those of the largest count, and the counts in ascending order, none where there is one.
        Raises SlotIdError.
        """
        parts = [part.strip() for part in text.split(",")]
        if len(parts) < 2 or not all(map(_COUNT.fullmatch, parts)):
            return cls.parse(text), ()
        counts = sorted(_count(part) for part in parts)
        if twice := next((count for count, after in pairwise(counts) if count == after), None):
            raise SlotIdError(f"'{text}' names {twice} slots twice.", hint="Name every number once.")
        _check_count(counts[0])
        return cls.for_grid(1, counts[-1]), tuple(counts)
