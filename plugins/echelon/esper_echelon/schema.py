"""What the features `suite` are, without torch."""

from __future__ import annotations

from esper_core import ActionSpec, Feature, FeatureSchema, SlotConfig, StateSpec
from esper_core.contracts.errors import IncompatiblePlan
from esper_echelon.layout import BLOCKS, FLAT_OBS_DIM

SUITE = "suite"
"""The state field that is read."""


def describe_suite(config: None, slots: SlotConfig, actions: ActionSpec, state_spec: StateSpec) -> FeatureSchema:
    """Return 706 columns, named and ordered as in the layout.

    Raises:
        IncompatiblePlan: the environment's field `suite` is no such observation.
    """
    field = state_spec[SUITE]
    if field.shape != ("E", FLAT_OBS_DIM) or field.dtype != "float":
        raise IncompatiblePlan(
            f"The state field '{SUITE}' is {field.dtype} {list(field.shape)}, expected float ['E', {FLAT_OBS_DIM}].",
            hint="Use the environment echelon, or other features with --use features=NAME.",
        )
    columns = [column for block in BLOCKS for column in block.columns]
    formulas = [f"{SUITE}[{i}]" for i in range(FLAT_OBS_DIM)]
    return FeatureSchema(
        tuple(Feature(c, f, field.low, field.high, SUITE) for c, f in zip(columns, formulas, strict=True))
    )
