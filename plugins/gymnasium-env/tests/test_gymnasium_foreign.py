"""What people's environments raise and return: named, or taken where one can only mean one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core.contracts.errors import PluginError
from esper_core.contracts.protocols import BuildContext
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.environment import GymnasiumEnvironment

ID = "Foreign-v0"
Make = Callable[..., GymnasiumEnvironment]


class Foreign(gymnasium.Env[Any, Any]):
    """Ends after one step with what a test says."""

    observation_space = spaces.Box(0.0, 1.0, (1,))
    action_space = spaces.Discrete(2)
    reward: Any = 1.0
    ended: Any = True
    raising: dict[str, BaseException] = {}  # noqa: RUF012

    def _raise(self, where: str) -> None:
        if where in self.raising:
            raise self.raising[where]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self._raise("reset")
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._raise("step")
        return np.zeros(1, np.float32), self.reward, self.ended, False, {}

    def close(self) -> None:
        self._raise("close")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that makes two of them with what is said here."""

    def make(**said: Any) -> GymnasiumEnvironment:
        kind = type("Said", (Foreign,), said)
        monkeypatch.setitem(
            gymnasium.registry, ID, gymnasium.envs.registration.EnvSpec(ID, entry_point=kind, max_episode_steps=3)
        )
        from esper_core import SlotConfig
        from esper_gymnasium_env.describe import describe

        config, slots = GymnasiumConfig(id=ID), SlotConfig.for_grid(1, 1)
        known = describe(config, slots)
        context = BuildContext(slots, known.actions, known.state, None, 0, 0.9, 2, 0, "cpu", torch.float32)
        return GymnasiumEnvironment(config, context)

    return make


def step(environment: GymnasiumEnvironment) -> Any:
    environment.reset(seed=0)
    return environment.step({"action": torch.zeros(2, dtype=torch.int64)})


@pytest.mark.parametrize("reward", [2, np.int64(2), np.array([2.0], np.float32), np.array(2.0), torch.tensor([2.0])])
@pytest.mark.parametrize("ended", [True, np.bool_(True), np.array([True]), 1])
def test_one_number_is_taken_whatever_holds_it(make: Make, reward: Any, ended: Any) -> None:
    _, paid, terminated, _, info = step(make(reward=reward, ended=ended))
    assert paid.tolist() == [2.0, 2.0] and terminated.tolist() == [True, True]
    assert [event["return"] for event in info["events"]] == [2.0, 2.0]


@pytest.mark.parametrize("reward", [None, "much", np.zeros(2), {}])
def test_a_reward_that_is_no_number_is_named(make: Make, reward: Any) -> None:
    with pytest.raises(PluginError, match=f"The Gymnasium environment '{ID}' paid .*; a reward is one finite number"):
        step(make(reward=reward))


@pytest.mark.parametrize("error", [RuntimeError("simulator died"), SystemExit(0), BaseException("panicked")])
@pytest.mark.parametrize(("where", "doing"), [("reset", "starting an episode"), ("step", "taking step 0")])
def test_whatever_it_raises_names_it(make: Make, where: str, doing: str, error: BaseException) -> None:
    words = f"The Gymnasium environment '{ID}' failed while {doing}: {type(error).__name__}"
    with pytest.raises(PluginError, match=words):
        step(make(raising={where: error}))


def test_all_are_closed_although_one_fails(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    closed: list[Any] = []

    def close(self: Any) -> None:
        closed.append(self)
        raise AttributeError("gone")

    environment = make(close=close)
    closed.clear()
    environment.close()
    assert len(closed) == 2
    assert "failed while closing: AttributeError: gone. What was done before stands." in caplog.text
