"""What an observation means: a named schema from which dimensions, documentation and digests derive."""

from __future__ import annotations

import hashlib
import json
import math

from attrs import asdict, field, frozen

from esper_core.contracts.tuples import as_tuple


@frozen
class Feature:
    """One scalar of the observation. Its name is unique within its block.

    `source` names the state fields it uses; where a slot is among others follows from none.
    """

    name: str
    formula: str
    low: float
    high: float
    source: str


PRESENT = "present"
"""Name of a feature of slots that is 0 where a slot is padding, that is where there is none, and 1 elsewhere."""


@frozen
class IndexField:
    """A block of category indices `[E, width]` that a network embeds; −1 means none.

    Attributes:
        per_slot: There is one for each slot, so that the width is N.
    """

    name: str
    width: int
    vocabulary: int
    per_slot: bool = False


@frozen
class ArrayField:
    """Arrays `[E, *shape]` that a network takes in as they are, such as images.

    Attributes:
        dtype: 'float', of any range, or 'uint8', from 0 to 255.
    """

    name: str
    shape: tuple[int, ...] = field(converter=as_tuple)
    dtype: str

    def __attrs_post_init__(self) -> None:
        if self.dtype not in ("float", "uint8"):
            raise ValueError(f"array '{self.name}': dtype '{self.dtype}' is not float or uint8")
        if not self.shape or not all(type(size) is int and size > 0 for size in self.shape):
            raise ValueError(f"array '{self.name}': the shape {self.shape} is not one or more positive whole numbers")


@frozen
class FeatureSchema:
    """The layout of `Features.obs`: `base`, then `per_slot` for each slot.

    `indices` describe `Features.indices`, and `arrays` describe `Features.arrays`.
    """

    base: tuple[Feature, ...] = field(converter=as_tuple)
    per_slot: tuple[Feature, ...] = field(converter=as_tuple, default=())
    num_slots: int = 0
    indices: tuple[IndexField, ...] = field(converter=as_tuple, default=())
    arrays: tuple[ArrayField, ...] = field(converter=as_tuple, default=())

    @property
    def dim(self) -> int:
        """Width of the observation, D."""
        return len(self.base) + len(self.per_slot) * self.num_slots

    @property
    def size(self) -> int:
        """Numbers that a step shows: the observation, indices and entries of arrays."""
        return self.dim + sum(block.width for block in self.indices) + sum(math.prod(a.shape) for a in self.arrays)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column of the observation."""
        slots = (f"slot{i}.{f.name}" for i in range(self.num_slots) for f in self.per_slot)
        return (*(f.name for f in self.base), *slots)

    @property
    def digest(self) -> str:
        """Short digest of the layout and meaning; stored in checkpoints."""
        layout = asdict(self)
        for block in layout["indices"]:  # the width says it, as in checkpoints from before it was said
            del block["per_slot"]
        if not self.arrays:  # as in checkpoints from before there were arrays
            del layout["arrays"]
        return hashlib.sha256(json.dumps(layout, sort_keys=True).encode()).hexdigest()[:16]
