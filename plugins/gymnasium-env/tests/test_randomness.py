"""Random streams: of the environments, of their spaces, and of the process; the same in every run of one seed."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core.learning.session import open_session
from esper_core.registry.index import Index
from esper_gymnasium_env.randomness import seed_spaces


class Wrapped(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Has an action space of its own, and draws from it."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = spaces.Discrete(1000)

    def step(self, action: Any) -> Any:
        seen, _, *ends = super().step(action)
        return seen, float(self.action_space.sample()), *ends


NESTED = spaces.Dict({"a": spaces.Box(0, 1, (1,)), "b": spaces.Tuple((spaces.Discrete(9),))})
SHARED = {"action_space": spaces.Discrete(1000), "pay": lambda env: float(env.action_space.sample())}
"""Its space belongs to the instance, and to every other one."""
OF_CLASS = {"pay": lambda env: float(env.observation_space.sample()[0])}
"""Its space is that of its class."""
SHOWING = {"observation_space": NESTED, "look": lambda env: env.observation_space.sample()}
NUMPY = {"pay": lambda env: float(np.random.rand())}


@pytest.mark.parametrize("script", [SHARED, SHOWING, NUMPY, {"wrap": Wrapped}], ids=["shared", "show", "numpy", "wrap"])
def test_a_run_is_repeated_and_goes_on_as_if_it_had_never_stopped(
    script: Any, scripted: Any, plan: Any, index: Index
) -> None:
    scripted(**script)
    planned = plan("Scripted-v0", updates=2)
    whole = [update.metrics for update in open_session(planned, index).run(2)]
    stopped = open_session(planned, index)
    done = [next(iter(stopped.run(2))).metrics]
    saved = copy.deepcopy(stopped.state())
    resumed = open_session(planned, index)
    resumed.load_state(saved)
    done += [update.metrics for update in resumed.run(2)]
    assert done == whole


@pytest.mark.parametrize("script", [OF_CLASS, SHARED, {"wrap": Wrapped}], ids=["class", "shared", "wrap"])
def test_what_one_environment_draws_depends_on_no_other(script: Any, scripted: Any) -> None:
    def paid(environment: Any) -> list[float]:
        return environment.step({"action": torch.zeros(2, dtype=torch.int64)})[1].tolist()

    environment, other = (scripted(**script)["environment"] for _ in range(2))
    environment.reset(seed=1)
    alone = [paid(environment) for _ in range(4)]
    environment.reset(seed=1)
    beside = []
    for _ in range(4):
        # Others of the process draw in between, and so does the first environment.
        other.reset(seed=1)
        paid(other), paid(other)
        environment._group._envs[0].action_space.sample(), environment._group._envs[0].observation_space.sample()
        beside.append(paid(environment))
    assert [row[1] for row in beside] == [row[1] for row in alone]
    assert len({value for row in alone for value in row}) > 4


def test_every_space_of_every_layer_begins_a_stream_of_its_own(scripted: Any) -> None:
    first, second = scripted(wrap=Wrapped, action_space=spaces.Discrete(1000))["environment"]._group._envs
    drawn = []
    for env in (first, second, first):
        seed_spaces(env, 7)
        drawn.append([env.action_space.sample(), env.unwrapped.action_space.sample(), *env.observation_space.sample()])
    assert drawn[0] == drawn[1] == drawn[2] and drawn[0][0] != drawn[0][1], "two spaces of a kind draw apart"
    assert first.unwrapped.observation_space is not type(first.unwrapped).observation_space
