"""The adapter: spaces, masks, ends of episodes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core import SlotConfig
from esper_core.contracts.errors import UserError
from esper_core.learning.session import open_session
from esper_core.registry.index import Index
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.describe import describe
from esper_gymnasium_env.environment import GymnasiumEnvironment

SLOTS = SlotConfig.for_grid(1, 3)


class Counter(gymnasium.Env[Any, Any]):
    """Shows and pays the step's number, and ends after `length` steps."""

    def __init__(self, length: int = 4, actions: Any = 3, mask: Any = None) -> None:
        self.length, self.mask = length, mask
        self.action_space = spaces.Discrete(actions, start=5) if isinstance(actions, int) else actions
        self.observation_space = spaces.Box(0.0, 10.0, (2,))
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._see()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken.append(action)
        self.t += 1
        seen, info = self._see()
        return seen, float(self.t), self.t == self.length, False, info

    def _see(self) -> tuple[Any, dict[str, Any]]:
        return np.full(2, self.t, np.float32), {} if self.mask is None else {"action_mask": self.mask}


@pytest.fixture(autouse=True)
def registered() -> None:
    gymnasium.register("Endless-v0", Counter)
    gymnasium.register("Unlimited-v0", Counter, max_episode_steps=-1)
    gymnasium.register("Counter-v0", Counter, max_episode_steps=6)


def singles(environment: GymnasiumEnvironment) -> list[Counter]:
    return [single.unwrapped for single in environment._envs]  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["environment", "masks", "features"])
def test_it_passes_every_check_of_its_kind(conforms: Callable[[str], None], kind: str) -> None:
    conforms(f"{kind}/gymnasium")


def test_its_own_features_are_chosen_and_a_network_learns_from_them(plan: Any, index: Index) -> None:
    planned = plan("CartPole-v1", envs=4)
    assert {planned.component(kind).name for kind in ("features", "masks")} == {"gymnasium"}
    trainer = open_session(planned, index)
    (update,) = trainer.run(1)
    trainer.environment.close()
    # Uniform play falls over after about 20 steps, each of which pays 1.
    assert update.metrics["return"] == update.metrics["length"] == update.environment_steps / 4


def test_the_end_and_the_time_limit_are_kept_apart(build: Any) -> None:
    for length, terminates in ((4, True), (6, True), (9, False)):
        environment = build("Counter-v0", f"kwargs={{length={length}}}")["environment"]
        environment.reset(seed=0)
        ends, paid = [], 0.0
        for _ in range(environment.horizon + 1):
            _, reward, terminated, truncated, _ = environment.step({"action": torch.zeros(2, dtype=torch.int64)})
            ends.append((bool(terminated[0]), bool(truncated[0] and not terminated[0])))
            paid += float(reward[1])
        assert environment.horizon == 6
        assert ends.index((terminates, not terminates)) == min(length, 6) - 1
        assert sum(map(any, ends)) == 1
        assert paid == sum(range(1, min(length, 6) + 1)), "nothing is paid after the end"
        assert len(singles(environment)[0].taken) == min(length, 6)


def test_the_last_observation_stays_and_the_episode_is_reported_once(build: Any) -> None:
    environment = build("Counter-v0")["environment"]
    environment.reset(seed=0)
    steps = [environment.step({"action": torch.zeros(2, dtype=torch.int64)}) for _ in range(6)]
    seen = [float(state["observation"][0, 0]) for state, *_ in steps]
    assert seen == pytest.approx([-0.8, -0.6, -0.4, -0.2, -0.2, -0.2])
    events = [[(e["env"], e["step"], e["return"], e["length"]) for e in info["events"]] for *_, info in steps]
    assert events == [[], [], [], [(0, 3, 10.0, 4), (1, 3, 10.0, 4)], [], []]
    assert [len(single.taken) for single in singles(environment)] == [4, 4]


def test_a_horizon_limits_what_has_no_limit(build: Any) -> None:
    for name in ("Endless-v0", "Unlimited-v0"):
        with pytest.raises(UserError, match=r"sets no limit.*environment\.horizon"):
            build(name)
        environment = build(name, "horizon=3", "kwargs={length=9}")["environment"]
    environment.reset(seed=0)
    ends = [environment.step({"action": torch.zeros(2, dtype=torch.int64)})[2:4] for _ in range(3)]
    assert [[bool(flag[0]) for flag in end] for end in ends] == [[False, False], [False, False], [False, True]]


def test_indices_become_the_environments_own_actions(build: Any) -> None:
    environment = build("Counter-v0")["environment"]
    environment.reset(seed=0)
    assert environment.actions.head("action").labels == ("5", "6", "7")
    environment.step({"action": torch.tensor([0, 2])})
    assert [single.taken for single in singles(environment)] == [[5], [7]]


def test_several_actions_at_once_have_a_head_each(build: Any) -> None:
    mask = (np.array([1, 0]), np.array([0, 1, 1]))
    given = {"actions": spaces.MultiDiscrete([2, 3], start=[0, 1]), "mask": mask}
    gymnasium.register("Many-v0", Counter, max_episode_steps=6, kwargs=given)
    parts = build("Many-v0")
    environment = parts["environment"]
    assert environment.actions.sizes == {"action0": 2, "action1": 3}
    legal = parts["masks"](environment.reset(seed=0)[0]).heads
    assert (legal["action0"][0].tolist(), legal["action1"][0].tolist()) == ([True, False], [False, True, True])
    environment.step({"action0": torch.tensor([1, 0]), "action1": torch.tensor([2, 0])})
    assert [single.taken[0].tolist() for single in singles(environment)] == [[1, 3], [0, 1]]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GymnasiumConfig(id="Pendulum-v1"), r"Box.*only Discrete and MultiDiscrete"),
        (GymnasiumConfig(id="CartPol-v1"), r"registered as 'CartPol-v1'\. Did you mean 'CartPole-v1'"),
        (GymnasiumConfig(kwargs={"colour": "red"}), "colour"),
        (GymnasiumConfig(observe=(0, 4)), r"observe=4 is not an entry.*0 to 3"),
    ],
)
def test_what_cannot_be_played_is_refused(config: GymnasiumConfig, message: str) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        describe(config, SLOTS)


def test_environments_are_seeded_apart_and_alike(build: Any) -> None:
    first, again = (build("CartPole-v1")["environment"].reset()[0]["observation"] for _ in range(2))
    assert torch.equal(first, again), "the first episodes follow from the plan's seed"
    states = []
    for envs in (2, 3):
        environment = build("CartPole-v1", envs=envs)["environment"]
        states.append(environment.reset(seed=3)[0]["observation"])
    assert torch.equal(states[0], states[1][:2])
    assert len(states[1].unique(dim=0)) == 3
