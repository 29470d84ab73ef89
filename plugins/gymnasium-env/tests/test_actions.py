"""Action spaces as heads, and what an environment is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core.contracts.actions import ContinuousHead
from esper_core.contracts.errors import UserError

NESTED = spaces.Dict(
    {
        "aim": spaces.Box(np.array([-1, 0], np.float32), np.array([1, 8], np.float32)),
        "do": spaces.Tuple((spaces.Discrete(3, start=5), spaces.MultiBinary(2))),
    }
)


@pytest.mark.parametrize(
    ("space", "heads", "given", "expected"),
    [
        (
            spaces.MultiBinary((2, 1)),
            {"action0": ("0", "1"), "action1": ("0", "1")},
            {"action0": 1, "action1": 0},
            np.array([[1], [0]], np.int8),
        ),
        (
            spaces.MultiDiscrete([[2], [3]], start=[[0], [1]], dtype=np.int32),
            {"action0": ("0", "1"), "action1": ("1", "2", "3")},
            {"action0": 1, "action1": 2},
            np.array([[1], [3]], np.int32),
        ),
        (
            # 0.1 in float32 is more than 0.1.
            spaces.Box(np.full((2, 1), -0.1), np.full((2, 1), 0.1), dtype=np.float64),
            {"action": ContinuousHead("action", ("0", "1"), (-0.1, -0.1), (0.1, 0.1))},
            {"action": [0.1, -0.05]},
            np.array([[0.1], [np.float32(-0.05)]]),
        ),
        (
            spaces.Box(-2, 2, (), np.float16),
            {"action": ContinuousHead("action", ("0",), -2, 2)},
            {"action": [1.5]},
            np.array(1.5, np.float16),
        ),
        (
            NESTED,
            {
                "aim": ContinuousHead("aim", ("0", "1"), (-1, 0), (1, 8)),
                "do.0": ("5", "6", "7"),
                "do.1.0": ("0", "1"),
                "do.1.1": ("0", "1"),
            },
            {"aim": [0.5, 8.0], "do.0": 2, "do.1.0": 0, "do.1.1": 1},
            {"aim": np.array([0.5, 8], np.float32), "do": (np.int64(7), np.array([0, 1], np.int8))},
        ),
    ],
)
def test_each_kind_of_space_has_its_heads_and_gets_its_own_actions(
    scripted: Any, space: Any, heads: dict[str, Any], given: dict[str, Any], expected: Any
) -> None:
    environment = scripted(action_space=space)["environment"]
    assert {head.name: getattr(head, "labels", head) for head in environment.actions.heads} == heads
    environment.reset(seed=0)
    environment.step({name: torch.tensor([value, value]) for name, value in given.items()})
    (taken,) = environment._group._envs[1].unwrapped.taken
    assert space.contains(taken) and repr(taken) == repr(expected)


def test_numbers_without_bounds_are_taken_as_they_are_drawn(scripted: Any) -> None:
    space = spaces.Box(-np.inf, np.inf, (2,))
    with pytest.raises(UserError, match=r"number 0 of Box.* goes from -inf to inf.*environment\.squash=false"):
        scripted(action_space=space)
    (head,) = scripted("squash=false", action_space=space)["environment"].actions.heads
    assert not head.squash and head.high == (np.inf, np.inf)


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (
            spaces.Box(0, 9, (2,), np.int32),
            r"hold Box\(0, 9.*int32\), whole numbers; declare them as Discrete or Multi",
        ),
        (spaces.Dict({}), r"Dict\(\) is empty, so there is nothing to decide; Discrete"),
        (spaces.Dict({"say": spaces.Text(5)}), r"hold Text.* at 'say'; Discrete, MultiDiscrete, MultiBinary, Box"),
        (spaces.Box(np.array([0, 1], np.float32), np.array([1, 1], np.float32)), "bounds of '1', 1 and 1, have no"),
    ],
)
def test_what_cannot_be_acted_in_is_named_with_what_to_use(scripted: Any, space: Any, says: str) -> None:
    with pytest.raises(UserError, match=f"the actions of Scripted-v0 cannot be taken: .*{says}"):
        scripted(action_space=space)


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        ({}, "no head 'action'"),
        ({"action": torch.tensor([[0.0], [torch.nan]])}, "'action' of environment 1 is NaN"),
        ({"action": torch.zeros(1, 2)}, r"head 'action' have shape \[1, 2\], not \[2, 1\]"),
        ({"action": torch.zeros(2)}, r"head 'action' have shape \[2\], not \[2, 1\]"),
        ({"action": torch.zeros(3, 1)}, r"head 'action' have shape \[3, 1\], not \[2, 1\]"),
    ],
)
def test_actions_that_are_none_are_not_blamed_on_the_environment(scripted: Any, actions: Any, says: str) -> None:
    environment = scripted(action_space=spaces.Box(-1, 1, (1,)))["environment"]
    environment.reset(seed=0)
    with pytest.raises(UserError, match=says):
        environment.step(actions)


def test_an_index_for_each_environment_is_asked_for(scripted: Any) -> None:
    environment = scripted(action_space=spaces.MultiDiscrete([2, 3]))["environment"]
    environment.reset(seed=0)
    with pytest.raises(UserError, match=r"head 'action1' have shape \[2, 1\], not \[2\]"):
        environment.step({"action0": torch.zeros(2, dtype=torch.int64), "action1": torch.zeros(2, 1).long()})
