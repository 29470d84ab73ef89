"""What is legal, in every way in which environments say it, and that it is forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core.contracts.errors import PluginError
from esper_testing.episodes import legal_play, play

TWO_HEADS = spaces.MultiDiscrete([2, 3])
MASKED = spaces.Dict({"seen": spaces.Box(-1, 1, (2,), np.float32), "action_mask": spaces.MultiBinary(3)})


def saying(said: list[Any], where: str = "info") -> dict[str, Any]:
    """Return a script that says one mask of a list per step; None is to say nothing."""

    def now(env: Any) -> Any:
        return said[min(env.t, len(said) - 1)]

    def set_attribute(env: Any) -> dict[str, Any]:
        env.action_masks = now(env)
        return {}

    def set_method(env: Any) -> dict[str, Any]:
        mask = now(env)
        env.action_masks = lambda: mask
        return {}

    ways = {
        "info": {"info": lambda env: {} if now(env) is None else {"action_mask": now(env)}},
        "method, as for sb3-contrib": {"action_masks": now},
        "attribute": {"info": set_attribute},
        "method that is exchanged": {"info": set_method},
        "observation, as for RLlib": {
            "observation_space": MASKED,
            "look": lambda env: {"seen": np.ones(2, np.float32), "action_mask": np.array(now(env), np.int8)},
        },
    }
    return {"length": len(said), **ways[where]}


def legal(parts: dict[str, Any]) -> list[list[list[bool]]]:
    """Return what is legal in the first environment, per step and head, while it goes on."""
    environment, found = parts["environment"], []
    state, _ = environment.reset(seed=0)
    while bool(environment._running[0]):
        masks = parts["masks"](state)
        found.append([masks.heads[name][0].tolist() for name in environment.actions.names])
        state, *_ = environment.step({name: torch.zeros(2, dtype=torch.int64) for name in environment.actions.names})
    return found


@pytest.mark.parametrize(
    "where",
    ["info", "method, as for sb3-contrib", "method that is exchanged", "attribute", "observation, as for RLlib"],
)
def test_it_may_be_said_in_four_places(scripted: Any, where: str) -> None:
    parts = scripted(**saying([[1, 0, 0], [0, 1, 1]], where))
    assert legal(parts) == [[[True, False, False]], [[False, True, True]]]
    assert parts["environment"].state_spec["observation"].shape == ("E", 2)


@pytest.mark.parametrize(
    "said",
    [
        np.array([1, 0, 0, 1, 1]),
        (np.array([True, False]), np.array([False, True, True])),
        [[1, 0], [0, 1, 1]],
        {"action1": np.array([0, 1, 1]), "action0": np.array([1.0, 0.0])},
    ],
)
def test_masks_of_several_heads_come_in_one_piece_or_by_head(scripted: Any, said: Any) -> None:
    assert legal(scripted(action_space=TWO_HEADS, **saying([said]))) == [[[True, False], [False, True, True]]]


def test_where_nothing_is_said_everything_is_legal(scripted: Any) -> None:
    everything = [[True] * 3]
    found = legal(scripted(**saying([None, [0, 0, 1], None, None])))
    assert found == [everything, [[False, False, True]], everything, everything]


@pytest.mark.parametrize("where", ["info", "attribute"])
def test_masks_of_the_last_episode_are_forgotten(scripted: Any, where: str) -> None:
    parts = scripted(**saying([None, [1, 0, 1], [0, 1, 0]], where))
    environment = parts["environment"]
    first, again = (
        play(environment, parts["masks"], environment.horizon, legal_play(environment), seed=5) for _ in range(2)
    )
    assert not first.difference(again, [0, 1])
    assert first.states[0]["action_mask"].all()


@pytest.mark.parametrize(
    ("said", "found", "actions"),
    [
        ([0, 0, 0], "leaves no legal action for action", spaces.Discrete(3)),
        ([[1, 0], [1]], r"has 2 and 1 entries.*action \(3\)", spaces.Discrete(3)),
        (([0, 1, 1], [1, 0]), r"has 3 and 2 entries.*action0 \(2\), action1 \(3\)", TWO_HEADS),
        ({"left": [1, 0, 0]}, "has the keys left", spaces.Discrete(3)),
        ({}, "has no keys", spaces.Discrete(3)),
        ([], "has no entries", spaces.Discrete(3)),
        # Added to logits: 0 where something is legal.
        ([0.0, -np.inf, 0.0], "holds something else than 0 and 1", spaces.Discrete(3)),
    ],
)
def test_a_mask_that_cannot_be_is_refused(scripted: Any, said: Any, found: str, actions: Any) -> None:
    with pytest.raises(PluginError, match=rf"The action mask of Scripted-v0 {found}"):
        scripted(action_space=actions, **saying([said]))["environment"].reset(seed=0)


def test_what_is_no_mask_is_named_with_its_step(scripted: Any) -> None:
    with pytest.raises(PluginError, match=r"'Scripted-v0' gave an action mask that cannot be read: .*at step 1 in env"):
        legal(scripted(action_space=TWO_HEADS, **saying([[1, 1, 1, 1, 1], [1, 0, 1, 1, 1], [None, [1, 1, 0]]])))

    def broken(env: Any) -> Any:
        return 1 / (1 - env.t) and [1, 1, 1]

    with pytest.raises(PluginError, match="failed while saying what is legal at step 0 in environment 0: ZeroDivision"):
        legal(scripted(action_masks=broken))


def test_nothing_need_be_legal_where_an_episode_ends(scripted: Any) -> None:
    with pytest.raises(PluginError, match="leaves no legal action"):
        legal(scripted(**saying([[1, 0, 0], [0, 0, 0]])))
    # The sixth step is the last: the time limit truncates.
    assert len(legal(scripted(**saying([*[[1, 0, 0]] * 6, [0, 0, 0], [1, 0, 0]])))) == 6
