"""The plain features: every field of the state, in order, scaled to its declared range."""

from __future__ import annotations

import pytest
import torch

from esper_core import ActionSpec, Head, SlotConfig, StateField, StateSpec
from esper_core.builtin.config import FlatConfig
from esper_core.builtin.flat import Flat
from esper_core.contracts.protocols import BuildContext

SLOTS = SlotConfig.for_grid(1, 2)
ACTIONS = ActionSpec((Head("op", ("a", "b", "c")),), root="op")
SPEC = StateSpec(
    (
        StateField("age", ("E",), "int", "steps", "", 10, 20),
        StateField("speed", ("E", "N"), "float", "m/s", "", -2, 2),
        StateField("allowed", ("E", "O"), "bool", "", ""),
        StateField("past", ("E", "N", 2), "float", "", "", 0, 4),
        StateField("fixed", ("E",), "float", "", "", 3, 3),
        StateField("alive", ("E", "N"), "bool", "", ""),
    )
)


def flat(scale: bool = True, spec: StateSpec = SPEC) -> Flat:
    context = BuildContext(SLOTS, ACTIONS, spec, None, 0, 0.99, 2, 0, "cpu", torch.float32)
    return Flat(FlatConfig(scale=scale), context)


STATE = {
    "age": torch.tensor([10, 15]),
    "speed": torch.tensor([[-2.0, 0.0], [2.0, 9.0]]),
    "allowed": torch.tensor([[True, False, True], [False, True, False]]),
    "past": torch.tensor([[[0.0, 1.0], [2.0, 3.0]], [[4.0, 0.0], [-1.0, 4.0]]]),
    "fixed": torch.tensor([3.0, 3.0]),
    "alive": torch.tensor([[True, False], [False, True]]),
}
SCALED = {
    "age": [0.0, 0.5],
    "allowed.0": [1.0, 0.0],
    "allowed.1": [0.0, 1.0],
    "allowed.2": [1.0, 0.0],
    "fixed": [0.0, 0.0],
    "slot0.speed": [0.0, 1.0],
    "slot0.past.0": [0.0, 1.0],
    "slot0.past.1": [0.25, 0.0],
    "slot0.alive": [1.0, 0.0],
    "slot1.speed": [0.5, 1.0],
    "slot1.past.0": [0.5, 0.0],
    "slot1.past.1": [0.75, 1.0],
    "slot1.alive": [0.0, 1.0],
}


def test_columns_have_the_names_and_values_of_the_schema() -> None:
    features = flat()
    seen = features(STATE)
    assert features.schema.names == tuple(SCALED) and features.schema.dim == len(SCALED)
    columns = dict(zip(features.schema.names, seen.obs.T.tolist(), strict=True))
    assert columns == {name: pytest.approx(values) for name, values in SCALED.items()}
    assert seen.obs.dtype == torch.float32 and seen.indices == {}


def test_raw_numbers_pass_through_when_asked_for() -> None:
    raw = flat(scale=False)
    columns = dict(zip(raw.schema.names, raw(STATE).obs.T.tolist(), strict=True))
    assert [columns[name] for name in ("age", "slot1.speed", "allowed.0")] == [[10.0, 15.0], [0.0, 9.0], [1.0, 0.0]]


def test_a_state_without_slots_has_no_slot_blocks() -> None:
    features = flat(spec=StateSpec((StateField("x", ("E", 3), "float", "", "", 0, 1),)))
    assert features.schema.names == ("x.0", "x.1", "x.2")
    assert features({"x": torch.rand(2, 3)}).obs.shape == (2, 3)
