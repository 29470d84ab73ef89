"""What environments do that they should not: taken where it can be, else named with the environment."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core.contracts.errors import PluginError, UserError
from esper_gymnasium_env.randomness import episode_seed

ACTIONS = {"action": torch.zeros(2, dtype=torch.int64)}


def step(environment: Any) -> tuple[Any, ...]:
    environment.reset(seed=0)
    return environment.step(ACTIONS)


@pytest.mark.parametrize("paid", [np.array([2.0], np.float32), np.int64(2), torch.tensor(2), Decimal(2), [2.0]])
def test_a_reward_may_be_any_one_number_and_an_end_any_one_truth(scripted: Any, paid: Any) -> None:
    parts = scripted(pay=lambda env: paid, end=lambda env: (np.array([True]), False))
    _, reward, ended, *_ = step(parts["environment"])
    assert reward.tolist() == [2.0, 2.0] and ended.tolist() == [True, True]


@pytest.mark.parametrize(
    ("part", "given", "says"),
    [
        *(
            ("pay", paid, "returned the reward .*; a reward is one")
            for paid in (None, 1e39, np.nan, np.zeros(2), 1j, [[1.0]] * 2)
        ),
        *(("end", (False, flag), "") for flag in (None, "no", 0.0, np.zeros(2, bool))),
        ("look", 3, r"returned an observation that does not fit its space Discrete\(3\) at step 0 in environment 0"),
        ("info", None, r"returned a NoneType as info from step\(\), not a dict, at step 0 in environment 0\."),
    ],
)
def test_what_a_step_may_not_return_is_named(scripted: Any, part: str, given: Any, says: str) -> None:
    first = {"look": 0, "info": {}}.get(part)
    script = {"look": lambda env: 0, part: lambda env: given if env.t else first}
    with pytest.raises(PluginError, match=f"'Scripted-v0' ?{says}"):
        step(scripted(observation_space=spaces.Discrete(3), **script)["environment"])


@pytest.mark.parametrize(
    ("method", "given", "says"),
    [
        ("reset", np.zeros(2, np.float32), r"a ndarray from reset\(\), not the tuple \(observation, info\), in"),
        ("reset", (0, {}, {}), r"a tuple of 3 from reset\(\), not the tuple \(observation, info\), in"),
        ("reset", (0, ["action_mask"]), r"a list as info from reset\(\), not a dict, in"),
        ("step", None, r"a NoneType from step\(\), not the tuple \(observation, .*, info\), at step 1 in"),
        ("step", (0, 0.0, False, {}), r"a tuple of 4 from step\(\), not the tuple \(observation, .*, at step 1 in"),
        ("step", (0, 0.0, False, False, ["action_mask"]), r"a list as info from step\(\), not a dict, at step 1 in"),
    ],
)
def test_what_is_not_the_form_of_an_answer_is_named(scripted: Any, method: str, given: Any, says: str) -> None:
    environment = scripted(observation_space=spaces.Discrete(3), look=lambda env: 0)["environment"]
    environment.reset(seed=0)
    environment.step(ACTIONS)
    second = environment._group._envs[1].unwrapped
    environment._group._steps = (environment._group._steps[0], lambda action: second.step(action))
    setattr(second, method, lambda *_, **__: given)
    with pytest.raises(PluginError, match=f"'Scripted-v0' returned {says} environment 1") as caught:
        environment.reset() if method == "reset" else environment.step(ACTIONS)
    assert f"reset(seed={environment._seeds[1]})" in caught.value.hint


@pytest.mark.parametrize(
    ("when", "doing", "error", "says"),
    [
        (0, "starting an episode", RuntimeError("simulator died"), "RuntimeError: simulator died"),
        (1, "taking step 0", SystemExit(0), "SystemExit: 0"),
        (1, "taking step 0", BaseException("panic"), "BaseException: panic"),
    ],
)
def test_what_fails_is_named_with_what_it_was_doing(
    scripted: Any, when: int, doing: str, error: BaseException, says: str
) -> None:
    look = Mock(side_effect=[*[np.zeros(2, np.float32)] * (2 * when + 1), error])
    with pytest.raises(PluginError, match=f"'Scripted-v0' failed while {doing} in environment 1: {says}"):
        step(scripted(look=look)["environment"])


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (OSError("no display"), PluginError, "'Broken-v0' failed while being made: OSError: no display"),
        (TypeError("no such keyword"), UserError, "Gymnasium cannot make 'Broken-v0': no such keyword"),
    ],
)
def test_what_fails_while_it_is_made_is_named_and_what_does_not_fit_is_the_users(
    build: Any, error: Exception, kind: type[Exception], says: str
) -> None:
    def broken() -> None:
        raise error

    gymnasium.register("Broken-v0", broken, max_episode_steps=4)
    with pytest.raises(kind, match=says):
        build("Broken-v0")


def test_what_fails_while_it_is_closed_is_said_once_and_keeps_no_other_open(
    scripted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    close = Mock(side_effect=AttributeError("no window"))
    environment = scripted(close=close)["environment"]
    close.reset_mock()
    environment.close()
    assert close.call_count == 2
    (record,) = caplog.records
    assert "'Scripted-v0' failed while closing: AttributeError: no window. Results are not" in record.getMessage()


def test_a_request_to_stop_passes_through(scripted: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        step(scripted(pay=Mock(side_effect=KeyboardInterrupt))["environment"])


@pytest.mark.parametrize(("shown", "times"), [(100.0, 1), (1.00001, 0)])
def test_leaving_the_bounds_is_said_once(
    scripted: Any, caplog: pytest.LogCaptureFixture, shown: float, times: int
) -> None:
    space = spaces.Box(-1.0, 1.0, (2,), np.float64)
    environment = scripted(observation_space=space, look=lambda env: np.array([0.0, shown]))["environment"]
    for _ in range(2):
        state, _ = environment.reset(seed=0)
        assert state["observation"].tolist() == [[0.0, 1.0]] * 2
    said = [record.getMessage() for record in caplog.records]
    assert ["'Scripted-v0' returned 100 in entry 1 of its observation" in text for text in said] == [True] * times


NESTED = spaces.Dict({"a": spaces.Box(-1, 1, (2, 2)), "b": spaces.Discrete(2)})


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_no_number_names_environment_step_and_key(scripted: Any, workers: int) -> None:
    def look(env: Any) -> Any:
        return {"a": np.full((2, 2), np.nan if env.t == 2 and env.np_random_seed == seed else 0.0), "b": 0}

    seed = episode_seed(0, 1, 0)
    environment = scripted(f"workers={workers}", observation_space=NESTED, look=look)["environment"]
    environment.reset(seed=0)
    environment.step(ACTIONS)
    says = rf"returned nan as observation\['a'\]\[0, 0\] after step 1 in environment 1.*\n.*reset\(seed={seed}\)"
    with pytest.raises(PluginError, match=says):
        environment.step(ACTIONS)
    environment.close()


def test_spaces_that_change_are_named(scripted: Any) -> None:
    def look(env: Any) -> Any:
        if env.taken:
            env.action_space = spaces.Discrete(4)
        return np.zeros(2, np.float32)

    environment = scripted(look=look)["environment"]
    step_once = "'Scripted-v0' changes its spaces: it takes Discrete\\(3\\), and environment 0 Discrete\\(4\\)"
    environment.reset(seed=0)
    environment.step(ACTIONS)
    with pytest.raises(PluginError, match=step_once):
        environment.reset()
