"""Observations as numbers from −1 to 1: what becomes of each kind of bounds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esper_core.composition.build import build_parts
from esper_core.contracts.errors import ConfigError
from esper_core.registry.index import Index
from esper_gymnasium_env.observing import Reader
from esper_gymnasium_env.scaling import WIDEST, Scaling

FLOATS = (np.float16, np.float32, np.float64)
INTEGERS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint64)
LARGEST = tuple(float(np.finfo(kind).max) for kind in FLOATS)


def box(low: Any, high: Any, dtype: Any = np.float64) -> spaces.Box:
    return spaces.Box(np.array([low], dtype), np.array([high], dtype), dtype=dtype)


def scaled(space: gymnasium.Space[Any], *observations: Any, observe: tuple[int, ...] = ()) -> Any:
    reader = Reader.of(space, observe)
    scaling = Scaling.of(reader.bottom, reader.top)
    return scaling(scaling.clipped(reader(observations)))


def seen(space: spaces.Box, *values: Any) -> list[float]:
    return [float(row[0]) for row in scaled(space, *(np.array([value], space.dtype) for value in values))]


def lowest(space: gymnasium.Space[Any]) -> float:
    reader = Reader.of(space, ())
    return Scaling.of(reader.bottom, reader.top).low


@st.composite
def boxes_and_values(draw: st.DrawFn) -> tuple[spaces.Box, list[float]]:
    """Draw the bounds of an entry, of every kind there is, and values within them in ascending order."""
    special = st.sampled_from([0.0, -1.0, 1.0, *LARGEST, *(-value for value in LARGEST), np.inf, -np.inf])
    low, high = sorted([draw(st.floats(allow_nan=False) | special) for _ in range(2)])
    if low == high and np.isinf(low):
        low, high = -np.inf, np.inf
    low, high = low + 0.0, high + 0.0  # hypothesis draws nothing from 0.0 to -0.0
    space = box(low, high)
    ends = (end if np.isfinite(end) else None for end in (low, high))
    inside = st.floats(*ends, allow_infinity=False, allow_nan=False)
    return space, sorted(draw(st.lists(inside, min_size=2, max_size=5)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(boxes_and_values(), st.floats(allow_nan=False, allow_infinity=False))
def test_values_are_finite_within_one_and_in_order_and_outside_is_the_nearest_bound(drawn: Any, value: float) -> None:
    space, values = drawn
    row, low = seen(space, *values), lowest(space)
    assert all(np.isfinite(row)) and low <= min(row) <= max(row) <= 1 and row == sorted(row)
    assert seen(space, value) == seen(space, float(np.clip(value, space.low[0], space.high[0])))


@pytest.mark.parametrize(
    ("low", "high", "values", "expected"),
    [
        (-0.5, 0.5, (-0.5, 0.25), [-0.5, 0.25]),
        (0.0, 8.0, (0, 6, 8), [-1.0, 0.5, 1.0]),
        (-np.inf, np.inf, (-3, 0, 3), [-0.75, 0.0, 0.75]),
        # Half open: measured from the value nearest to 0 that there is.
        (0.0, np.inf, (0, 3), [0.0, 0.75]),
        (-1e6, np.inf, (0, 3), [0.0, 0.75]),
        (-np.inf, -5.0, (-8, -5), [-0.75, 0.0]),
        # Wider than float32 can tell whole numbers apart.
        (0.0, 2 * WIDEST, (0, 3), [0.0, 0.75]),
        (1e9, 1e9 + 8, (1e9, 1e9 + 6), [-1.0, 0.5]),
        (1e9, 2e9, (1e9, 1e9 + 3), [0.0, 0.75]),
        # A constant says nothing.
        (0.5, 0.5, (0.5,), [0.0]),
        (-1e300, -1e300, (-1e300,), [0.0]),
    ],
)
def test_each_kind_of_bounds_has_its_own_answer(
    low: float, high: float, values: tuple[float, ...], expected: list[float]
) -> None:
    assert seen(box(low, high), *values) == expected


@pytest.mark.parametrize("largest", LARGEST)
@pytest.mark.parametrize("side", [(-1, 1), (0, 1), (-1, 0)])
def test_the_largest_number_of_a_type_is_no_bound(largest: float, side: tuple[int, int]) -> None:
    low, high = (end * largest for end in side)
    values = [value for value in (-3, 0, 3) if low <= value <= high]
    for dtype in (dtype for dtype in FLOATS if largest <= float(np.finfo(dtype).max)):
        assert seen(box(low, high, dtype), *values) == [value / 4 for value in values]


def test_what_is_not_scaled_is_shown_as_it_is(scripted: Any, index: Index, plan: Any) -> None:
    space = spaces.Box(np.array([0, -np.inf], np.float32), np.array([10, np.inf], np.float32))
    parts = scripted("scale_obs=false", observation_space=space, look=lambda env: np.float32([env.t, 40 * env.t]))
    environment = parts["environment"]
    environment.reset(seed=0)
    state, *_ = environment.step({"action": torch.zeros(2, dtype=torch.int64)})
    assert state["observation"].tolist() == [[1.0, 40.0]] * 2 and state["observation"].dtype == torch.float32
    seen = build_parts(plan("Scripted-v0", "scale_obs=false"), index)["features"](state)
    assert seen.obs.tolist() == [[1.0, 40.0]] * 2, "neither normalised nor cut off"
    with pytest.raises(ConfigError, match="'flat' cannot scale the state field 'observation'"):
        plan("Scripted-v0", "scale_obs=false", features="flat")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_whole_numbers_have_a_range_up_to_sixteen_bits_and_no_bounds_beyond(dtype: Any) -> None:
    info = np.iinfo(dtype)
    row = seen(box(info.min, info.max, dtype), info.min, 3, info.max)
    if info.bits <= 16:
        assert row == pytest.approx([-1, 2 * (3 - info.min) / (info.max - info.min) - 1, 1], abs=1e-6)
    else:
        assert row == [-1.0 if info.min else 0.0, 0.75, 1.0]


@pytest.mark.parametrize("said", [3, -2, 0.5, np.float64(1.25), np.array([0.5])])
def test_what_is_no_category_is_refused(said: Any) -> None:
    with pytest.raises(ValueError, match="a category is not a value of"):
        scaled(spaces.Discrete(3, start=-1), said)


def test_entries_are_flattened_categories_one_hot_and_some_can_be_chosen() -> None:
    space = spaces.Dict(
        {
            "a": spaces.Box(np.array([0, -0.5, -np.inf], np.float32), np.array([8, 0.5, np.inf], np.float32)),
            "b": spaces.Discrete(3, start=-1),
            "c": spaces.Tuple((spaces.MultiDiscrete([2, 2], start=[-1, 5]), spaces.MultiBinary(2))),
        }
    )
    observation = {"a": np.array([6, 0.25, -3], np.float32), "b": 0, "c": (np.array([-1, 6]), np.array([0, 1]))}
    row = scaled(space, observation)[0].tolist()
    assert row == [0.5, 0.25, -0.75, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0]
    assert lowest(space) == -1.0 and lowest(spaces.Discrete(3)) == 0.0
    assert scaled(space, observation, observe=(4, 2)).tolist() == [[1.0, -0.75]]
    names = [Reader.of(space, (5, 2, 9)).name(entry) for entry in range(3)]
    assert names == ["observation['b']", "observation['a'][2]", "observation['c'][0][1]"]


def test_many_observations_are_flattened_as_gymnasium_flattens_each() -> None:
    space = spaces.Dict(
        {
            "n": spaces.Discrete(4, start=-2),
            "t": spaces.Tuple((spaces.MultiBinary((2, 2)), spaces.MultiDiscrete([[2, 3], [1, 4]]))),
            "x": spaces.Box(-2, 2, (2, 3), np.float16),
            "y": spaces.Box(0, 255, (), np.uint8),
        }
    )
    space.seed(3)
    observations = [space.sample() for _ in range(5)]
    assert np.array_equal(Reader.of(space, ())(observations), [spaces.flatten(space, one) for one in observations])


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (spaces.Sequence(spaces.Discrete(2)), "hold Sequence"),
        (spaces.Dict({"a": spaces.OneOf((spaces.Discrete(2), spaces.Box(-1, 1)))}), "hold OneOf"),
        (spaces.Box(-1, 1, (0,)), "no entries"),
        (box(np.inf, np.inf), "entry 0 of its observation goes from inf to inf"),
    ],
)
def test_what_cannot_be_seen_is_refused(space: gymnasium.Space[Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Reader.of(space, ())


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (spaces.Discrete(3, start=2), 1),
        (spaces.MultiDiscrete([2, 2]), np.array([2, 0])),
        (spaces.Box(-1, 1, (2,)), np.zeros(3)),
        (spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2))), (0,)),
    ],
)
def test_an_observation_that_does_not_fit_its_space_is_refused(space: gymnasium.Space[Any], observation: Any) -> None:
    with pytest.raises(ValueError):
        Reader.of(space, ())([observation])
