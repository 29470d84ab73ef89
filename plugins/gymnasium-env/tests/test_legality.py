"""What is legal, in every way in which environments say it, and that it is forgotten."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core.contracts.errors import PluginError
from esper_testing.episodes import legal_play, play

TWO_HEADS = spaces.MultiDiscrete([2, 3])
MASKED = {"seen": spaces.Box(-1, 1, (2,), np.float32), "action_mask": spaces.MultiBinary(3)}


class Masked(gymnasium.Env[Any, Any]):
    """Says at each step what its list says; None is to say nothing. Ends when the list does."""

    def __init__(self, said: list[Any], actions: gymnasium.Space[Any] | None = None) -> None:
        self.said, self.action_space = said, actions or spaces.Discrete(3)
        self.observation_space: gymnasium.Space[Any] = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.look(), self.info()

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.look(), float(np.all(action == 0)), self.t == len(self.said), False, self.info()

    def look(self) -> Any:
        return np.zeros(2, np.float32)

    @property
    def now(self) -> Any:
        return self.said[min(self.t, len(self.said) - 1)]

    def info(self) -> dict[str, Any]:
        return {} if self.now is None else {"action_mask": self.now}


class ByMethod(Masked):
    """Says it as environments for sb3-contrib do."""

    info = staticmethod(dict)  # type: ignore[assignment]

    def action_masks(self) -> Any:
        return self.now


class ByAttribute(Masked):
    """Says it by an attribute."""

    def info(self) -> dict[str, Any]:
        self.action_masks = self.now
        return {}


class InObservation(Masked):
    """Says it as environments for RLlib and PettingZoo do."""

    def __init__(self, said: list[Any]) -> None:
        super().__init__(said)
        self.observation_space = spaces.Dict(MASKED)

    info = staticmethod(dict)  # type: ignore[assignment]

    def look(self) -> Any:
        return {"seen": np.ones(2, np.float32), "action_mask": np.array(self.now, np.int8)}


@pytest.fixture
def world(build: Any) -> Any:
    """Return a function that makes environment and masks."""

    def world(kind: type[Masked], *arguments: Any) -> Any:
        gymnasium.register("Masked-v0", lambda: kind(*arguments), max_episode_steps=6)
        return build("Masked-v0")

    return world


def legal(parts: dict[str, Any]) -> list[list[list[bool]]]:
    """Return what is legal in the first environment, per step and head, while it goes on."""
    environment, found = parts["environment"], []
    state, _ = environment.reset(seed=0)
    while bool(environment._running[0]):
        masks = parts["masks"](state)
        found.append([masks.heads[name][0].tolist() for name in environment.actions.names])
        state, *_ = environment.step({name: torch.zeros(2, dtype=torch.int64) for name in environment.actions.names})
    return found


@pytest.mark.parametrize("kind", [Masked, ByMethod, ByAttribute, InObservation])
def test_it_may_be_said_in_four_places(world: Any, kind: type[Masked]) -> None:
    parts = world(kind, [[1, 0, 0], [0, 1, 1]])
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
def test_masks_of_several_heads_come_in_one_piece_or_by_head(world: Any, said: Any) -> None:
    assert legal(world(Masked, [said], TWO_HEADS)) == [[[True, False], [False, True, True]]]


def test_where_nothing_is_said_everything_is_legal(world: Any) -> None:
    everything = [[True] * 3]
    found = legal(world(Masked, [None, [0, 0, 1], None, None]))
    assert found == [everything, [[False, False, True]], everything, everything]


@pytest.mark.parametrize("kind", [Masked, ByAttribute])
def test_masks_of_the_last_episode_are_forgotten(world: Any, kind: type[Masked]) -> None:
    parts = world(kind, [None, [1, 0, 1], [0, 1, 0]])
    environment = parts["environment"]
    first, again = (
        play(environment, parts["masks"], environment.horizon, legal_play(environment), seed=5) for _ in range(2)
    )
    assert not first.difference(again, [0, 1])
    assert first.states[0]["action_mask"].all()


@pytest.mark.parametrize(
    ("said", "found", "actions"),
    [
        ([0, 0, 0], "leaves no legal action for action", None),
        ([[1, 0], [1]], r"has 2 and 1 entries.*action \(3\)", None),
        (([0, 1, 1], [1, 0]), r"has 3 and 2 entries.*action0 \(2\), action1 \(3\)", TWO_HEADS),
        ({"left": [1, 0, 0]}, "has the keys left", None),
        # Added to logits: 0 where something is legal.
        ([0.0, -np.inf, 0.0], "holds something else than 0 and 1", None),
    ],
)
def test_a_mask_that_cannot_be_is_refused(world: Any, said: Any, found: str, actions: Any) -> None:
    with pytest.raises(PluginError, match=rf"The action mask of Masked-v0 {found}"):
        world(Masked, [said], actions)["environment"].reset(seed=0)


def test_nothing_need_be_legal_where_an_episode_ends(world: Any) -> None:
    parts = world(Masked, [[1, 0, 0], [0, 0, 0]])
    with pytest.raises(PluginError, match="leaves no legal action"):
        legal(parts)
    gymnasium.registry.pop("Masked-v0")
    # The sixth step is the last: the time limit truncates.
    assert len(legal(world(Masked, [*[[1, 0, 0]] * 6, [0, 0, 0], [1, 0, 0]]))) == 6
