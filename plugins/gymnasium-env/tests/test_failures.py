"""What environments do that they should not: taken where it can be, else named with the environment."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core.contracts.errors import PluginError, UserError

ACTIONS = {"action": torch.zeros(2, dtype=torch.int64)}


class Quirky(gymnasium.Env[Any, Any]):
    """Returns from each step what it is told to, and does what it is told to."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(2)

    def __init__(self, **given: Any) -> None:
        self.observation_space = given.pop("space", self.observation_space)
        self.given = {"shown": 0, "first": 0, "paid": 1.0, "terminated": False, "truncated": False, "said": {}, **given}
        self.did: list[str] = []
        self.do("make")

    def do(self, what: str) -> None:
        self.did.append(what)
        if what in self.given:
            raise self.given[what]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.do("reset")
        return self.given["first"], {}

    def step(self, action: Any) -> Any:
        self.do("step")
        return tuple(self.given[part] for part in ("shown", "paid", "terminated", "truncated", "said"))

    def close(self) -> None:
        self.do("close")


@pytest.fixture
def quirky(build: Any) -> Any:
    def quirky(**given: Any) -> Any:
        gymnasium.register("Quirky-v0", lambda: Quirky(**given), max_episode_steps=4)
        return build("Quirky-v0")["environment"]

    return quirky


@pytest.mark.parametrize("paid", [np.array([2.0], np.float32), np.int64(2), torch.tensor(2), Decimal(2), [2.0]])
def test_a_reward_may_be_any_one_number_and_an_end_any_one_truth(quirky: Any, paid: Any) -> None:
    environment = quirky(paid=paid, terminated=np.array([True]))
    environment.reset(seed=0)
    _, reward, ended, *_ = environment.step(ACTIONS)
    assert reward.tolist() == [2.0, 2.0] and ended.tolist() == [True, True]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        *(
            ({"paid": paid}, "returned the reward .*; a reward is one")
            for paid in (None, 1e39, np.nan, np.zeros(2), 1j)
        ),
        *(({"truncated": flag}, "") for flag in (None, "no", 0.0, np.zeros(2, bool))),
        ({"shown": 3}, r"returned an observation that does not fit its space Discrete\(3"),
        ({"said": None}, "failed while taking step 0"),
    ],
)
def test_what_a_step_may_not_return_is_named(quirky: Any, given: dict[str, Any], says: str) -> None:
    environment = quirky(**given)
    environment.reset(seed=0)
    with pytest.raises(PluginError, match=f"'Quirky-v0' ?{says}"):
        environment.step(ACTIONS)


@pytest.mark.parametrize(
    ("when", "doing", "error", "says"),
    [
        ("reset", "starting an episode", RuntimeError("simulator died"), "RuntimeError: simulator died"),
        ("step", "taking step 0", SystemExit(0), "SystemExit: 0"),
        ("step", "taking step 0", BaseException("panic"), "BaseException: panic"),
    ],
)
def test_what_fails_is_named_with_what_it_was_doing(
    quirky: Any, when: str, doing: str, error: BaseException, says: str
) -> None:
    environment = quirky(**{when: error})
    with pytest.raises(PluginError, match=f"'Quirky-v0' failed while {doing}: {says}"):
        environment.reset(seed=0), environment.step(ACTIONS)


def test_what_fails_while_it_is_made_is_named_and_what_does_not_fit_is_the_users(quirky: Any, build: Any) -> None:
    with pytest.raises(PluginError, match="'Quirky-v0' failed while being made: OSError: no display"):
        quirky(make=OSError("no display"))
    gymnasium.register("Plain-v0", Quirky, max_episode_steps=4, kwargs={"make": TypeError("no such keyword")})
    with pytest.raises(UserError, match="Gymnasium cannot make 'Plain-v0': no such keyword"):
        build("Plain-v0")


def test_what_fails_while_it_is_closed_is_said_once_and_keeps_no_other_open(
    quirky: Any, caplog: pytest.LogCaptureFixture
) -> None:
    environment = quirky(close=AttributeError("no window"))
    environment.reset(seed=0)
    environment.close()
    assert [single.unwrapped.did[-1] for single in environment._envs] == ["close", "close"]
    (record,) = caplog.records
    assert "'Quirky-v0' failed while closing: AttributeError: no window. Results are not" in record.getMessage()


def test_a_request_to_stop_passes_through(quirky: Any) -> None:
    environment = quirky(step=KeyboardInterrupt())
    environment.reset(seed=0)
    with pytest.raises(KeyboardInterrupt):
        environment.step(ACTIONS)


@pytest.mark.parametrize(("shown", "times"), [(100.0, 1), (1.00001, 0)])
def test_leaving_the_bounds_is_said_once(
    quirky: Any, caplog: pytest.LogCaptureFixture, shown: float, times: int
) -> None:
    environment = quirky(space=spaces.Box(-1.0, 1.0, (2,), np.float64), first=np.array([0.0, shown]))
    for _ in range(2):
        state, _ = environment.reset(seed=0)
        assert state["observation"].tolist() == [[0.0, 1.0]] * 2
    said = [record.getMessage() for record in caplog.records]
    assert ["'Quirky-v0' returned 100 in entry 1 of its observation" in text for text in said] == [True] * times
