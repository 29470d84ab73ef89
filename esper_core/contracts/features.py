"""What an observation means: a named schema from which dimensions, documentation and digests derive."""

from __future__ import annotations

import hashlib
import json

from attrs import asdict, field, frozen

from esper_core.contracts.tuples import as_tuple


@frozen
class Feature:
    """One scalar of the observation. Its name is unique within its block; `source` names the state fields it uses."""

    name: str
    formula: str
    low: float
    high: float
    source: str


@frozen
class IndexField:
    """A block of category indices `[E, width]` that a network embeds; −1 means none."""

    name: str
    width: int
    vocabulary: int


@frozen
class FeatureSchema:
    """The layout of `Features.obs`: `base`, then `per_slot` for each slot. `indices` describe `Features.indices`."""

    base: tuple[Feature, ...] = field(converter=as_tuple)
    per_slot: tuple[Feature, ...] = field(converter=as_tuple, default=())
    num_slots: int = 0
    indices: tuple[IndexField, ...] = field(converter=as_tuple, default=())

    @property
    def dim(self) -> int:
        """Width of the observation, D."""
        return len(self.base) + len(self.per_slot) * self.num_slots

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column of the observation."""
        slots = (f"slot{i}.{f.name}" for i in range(self.num_slots) for f in self.per_slot)
        return (*(f.name for f in self.base), *slots)

    @property
    def digest(self) -> str:
        """Short digest of the layout and meaning; stored in checkpoints."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
