"""The adapter: spaces, masks, ends of episodes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core import SlotConfig
from esper_core.contracts.errors import UserError
from esper_core.learning.session import open_session
from esper_core.registry.index import Index
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.describe import TRAIN, describe

FIRST = {"action": torch.zeros(2, dtype=torch.int64)}


def taken(environment: Any) -> list[list[Any]]:
    """Return the actions that each single environment was given."""
    return [single.unwrapped.taken for single in environment._group._envs]


@pytest.mark.parametrize("kind", [pytest.param("environment", marks=pytest.mark.slow), "masks", "features"])
def test_it_passes_every_check_of_its_kind(conforms: Callable[[str], None], kind: str) -> None:
    conforms(f"{kind}/gymnasium")


def test_its_own_features_are_chosen_and_a_network_learns_from_them(plan: Any, index: Index) -> None:
    planned = plan("CartPole-v1", envs=4)
    assert {planned.component(kind).name for kind in ("features", "masks")} == {"gymnasium"}
    trainer = open_session(planned, index)
    (update,) = trainer.run(1)
    trainer.environment.close()
    # Uniform play falls over after about 20 steps, each of which pays 1; what has ended begins anew.
    assert 10 < update.metrics["return"] == update.metrics["length"] < 40
    assert update.environment_steps == 4 * TRAIN["rollout_steps"]


@pytest.mark.parametrize(("length", "terminates"), [(4, True), (6, True), (9, False)])
def test_the_end_and_the_time_limit_are_kept_apart_and_nothing_follows_them(
    scripted: Any, length: int, terminates: bool
) -> None:
    environment = scripted(f"kwargs={{length={length}}}")["environment"]
    environment.reset(seed=0)
    steps, last = [environment.step(FIRST) for _ in range(7)], min(length, 6)
    ends = [(bool(terminated[0]), bool(truncated[0] and not terminated[0])) for _, _, terminated, truncated, _ in steps]
    assert environment.horizon == 6 and sum(map(any, ends)) == 1
    assert ends[last - 1] == (terminates, not terminates)
    assert [float(reward[1]) for _, reward, *_ in steps] == [*range(1, last + 1), *[0.0] * (7 - last)]
    seen = [float(state["observation"][0, 0]) for state, *_ in steps]
    assert seen == pytest.approx([min(step, last) / 5 - 1 for step in range(1, 8)])
    events = [[(e["env"], e["step"], e["return"], e["length"]) for e in info["events"]] for *_, info in steps]
    paid = sum(range(last + 1))
    assert events.pop(last - 1) == [(env, last - 1, paid, last) for env in range(2)] and not any(events)
    assert [len(actions) for actions in taken(environment)] == [last, last]


@pytest.mark.parametrize("limit", [None, -1])
def test_a_horizon_limits_what_has_no_limit(scripted: Any, limit: int | None) -> None:
    with pytest.raises(UserError, match=r"sets no limit.*environment\.horizon"):
        scripted(limit=limit)
    environment = scripted("horizon=3", limit=limit)["environment"]
    environment.reset(seed=0)
    ends = [environment.step(FIRST)[2:4] for _ in range(3)]
    assert [[bool(flag[0]) for flag in end] for end in ends] == [[False, False], [False, False], [False, True]]


def test_indices_become_the_environments_own_actions(scripted: Any) -> None:
    environment = scripted(action_space=spaces.Discrete(3, start=5))["environment"]
    environment.reset(seed=0)
    assert environment.actions.head("action").labels == ("5", "6", "7")
    environment.step({"action": torch.tensor([0, 2])})
    assert taken(environment) == [[5], [7]]


def test_several_actions_at_once_have_a_head_each(scripted: Any) -> None:
    mask = (np.array([1, 0]), np.array([0, 1, 1]))
    space = spaces.MultiDiscrete([2, 3], start=[0, 1])
    parts = scripted(action_space=space, info=lambda env: {"action_mask": mask})
    environment = parts["environment"]
    assert environment.actions.sizes == {"action0": 2, "action1": 3}
    legal = parts["masks"](environment.reset(seed=0)[0]).heads
    assert (legal["action0"][0].tolist(), legal["action1"][0].tolist()) == ([True, False], [False, True, True])
    environment.step({"action0": torch.tensor([1, 0]), "action1": torch.tensor([2, 0])})
    assert [actions[0].tolist() for actions in taken(environment)] == [[1, 3], [0, 1]]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GymnasiumConfig(id="CartPol-v1"), r"registered as 'CartPol-v1'\. Did you mean 'CartPole-v1'"),
        (GymnasiumConfig(kwargs={"colour": "red"}), "colour"),
        (GymnasiumConfig(observe=(0, 4)), r"observe=4 is not an entry.*0 to 3"),
    ],
)
def test_what_cannot_be_played_is_refused(config: GymnasiumConfig, message: str) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        describe(config, SlotConfig.for_grid(1, 3))


def test_environments_are_seeded_apart_and_alike(build: Any) -> None:
    first, again = (build("CartPole-v1")["environment"].reset()[0]["observation"] for _ in range(2))
    assert torch.equal(first, again), "the first episodes follow from the plan's seed"
    two, three = (build("CartPole-v1", envs=n)["environment"].reset(seed=3)[0]["observation"] for n in (2, 3))
    assert torch.equal(two, three[:2]) and len(three.unique(dim=0)) == 3
