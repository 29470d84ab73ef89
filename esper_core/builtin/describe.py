"""The layout of the features `flat`, without torch."""

from __future__ import annotations

import math
from itertools import product

from esper_core.builtin.config import FlatConfig
from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import ConfigError
from esper_core.contracts.features import Feature, FeatureSchema
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.state import StateField, StateSpec

WIDEST = 2.0**127
"""Bounds that are further apart are those of float32, and say nothing about a field."""


def is_per_slot(entry: StateField) -> bool:
    """Return whether a field `[E, N, ...]` belongs to the slot blocks."""
    return entry.shape[1:2] == ("N",)


def describe(config: FlatConfig, slots: SlotConfig, actions: ActionSpec, state_spec: StateSpec) -> FeatureSchema:
    """Return the schema: fields without a slot axis first, then one block per slot."""
    columns: dict[bool, list[Feature]] = {False: [], True: []}
    for entry in state_spec.fields:
        sizes = entry.sizes(1, slots.num_slots, len(actions.ops))[2 if is_per_slot(entry) else 1 :]
        for position in product(*(range(size) for size in sizes)):
            columns[is_per_slot(entry)].append(_feature(config, entry, position))
    return FeatureSchema(base=columns[False], per_slot=columns[True], num_slots=slots.num_slots)


def _feature(config: FlatConfig, entry: StateField, position: tuple[int, ...]) -> Feature:
    name = ".".join([entry.name, *map(str, position)])
    scaled = config.scale and entry.dtype != "bool"
    span = scale_of(entry)
    if scaled and WIDEST < span < math.inf:
        raise ConfigError(
            f"The features 'flat' cannot scale the state field '{entry.name}': its bounds are {span:g} apart.",
            hint="Leave them as they are with -o features.scale=false, or let the environment show less.",
        )
    formula = f"clamp(({name} - {entry.low:g}) / {span:g}, 0, 1)" if scaled else name
    low, high = (0.0, 1.0) if scaled or entry.dtype == "bool" else (float(entry.low), float(entry.high))
    return Feature(name=name, formula=formula, low=low, high=high, source=entry.name)


def scale_of(entry: StateField) -> float:
    """Return the divisor that maps the declared range of a field to 0..1; 1 for a field that never varies."""
    return float(entry.high - entry.low) or 1.0
