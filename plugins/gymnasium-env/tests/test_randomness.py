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
from esper_gymnasium_env.randomness import give_own_spaces, seed_spaces

SHARED = spaces.Discrete(1000)


class Drawing(gymnasium.Env[Any, Any]):
    """Pays, over four steps, what it draws from its action space, which all of its kind have in common."""

    observation_space: gymnasium.Space[Any] = spaces.Box(0, 1, (1,), np.float32)
    action_space: gymnasium.Space[Any] = spaces.Discrete(1000)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.look(), self.draw(), self.t == 4, False, {}

    def look(self) -> Any:
        return np.zeros(1, np.float32)

    def draw(self) -> float:
        return float(self.action_space.sample())


class DrawingAModuleSpace(Drawing):
    """Its space belongs to the instance, and to every other one."""

    def __init__(self) -> None:
        self.action_space = SHARED


class Showing(Drawing):
    """Draws what it shows from a nested space."""

    def __init__(self) -> None:
        self.observation_space = spaces.Dict({"a": spaces.Box(0, 1, (1,)), "b": spaces.Tuple((spaces.Discrete(9),))})

    def look(self) -> Any:
        return self.observation_space.sample()


class DrawingFromNumpy(Drawing):
    """Draws from the stream of the process."""

    def draw(self) -> float:
        return float(np.random.rand())


class Wrapped(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Has an action space of its own, and draws from it."""

    def __init__(self) -> None:
        super().__init__(Drawing())
        self.action_space = spaces.Discrete(1000)

    def step(self, action: Any) -> Any:
        seen, _, *ends = super().step(action)
        return seen, float(self.action_space.sample()), *ends


@pytest.fixture(params=[DrawingAModuleSpace, Showing, DrawingFromNumpy, Wrapped], ids=lambda kind: kind.__name__)
def name(request: pytest.FixtureRequest) -> str:
    gymnasium.register("Drawing-v0", request.param, max_episode_steps=4)
    return "Drawing-v0"


def test_a_run_is_repeated_and_goes_on_as_if_it_had_never_stopped(name: str, plan: Any, index: Index) -> None:
    whole = [update.metrics for update in open_session(plan(name, updates=2), index).run(2)]
    stopped = open_session(plan(name, updates=2), index)
    done = [next(iter(stopped.run(2))).metrics]
    saved = copy.deepcopy(stopped.state())
    resumed = open_session(plan(name, updates=2), index)
    resumed.load_state(saved)
    done += [update.metrics for update in resumed.run(2)]
    assert done == whole


@pytest.mark.parametrize("kind", [Drawing, DrawingAModuleSpace, Wrapped])
def test_what_one_environment_draws_depends_on_no_other(kind: Any, build: Any) -> None:
    gymnasium.register("Drawing-v0", kind, max_episode_steps=4)

    def paid(environment: Any, steps: int) -> list[list[float]]:
        environment.reset(seed=1)
        return [environment.step({"action": torch.zeros(2, dtype=torch.int64)})[1].tolist() for _ in range(steps)]

    environment, other = (build("Drawing-v0")["environment"] for _ in range(2))
    alone = paid(environment, 4)
    environment.reset(seed=1)
    beside = []
    for _ in range(4):
        # Others of the process draw in between, and so does the first environment.
        paid(other, 2)
        environment._envs[0].action_space.sample()
        beside.append(environment.step({"action": torch.zeros(2, dtype=torch.int64)})[1].tolist())
    assert [row[1] for row in beside] == [row[1] for row in alone]
    assert len({value for row in alone for value in row}) > 4


def test_every_space_of_every_layer_begins_a_stream_of_its_own() -> None:
    first, second = (gymnasium.wrappers.OrderEnforcing(Wrapped()) for _ in range(2))
    give_own_spaces([first, second])
    drawn = []
    for env in (first, second, first):
        seed_spaces(env, 7)
        layers = (env, env.unwrapped)
        drawn.append([layer.action_space.sample() for layer in layers] + [env.observation_space.sample().item()])
    assert drawn[0] == drawn[1] == drawn[2]
    assert drawn[0][0] != drawn[0][1], "two spaces of a kind draw apart"
    assert first.unwrapped.action_space is not second.unwrapped.action_space
    assert Drawing.action_space is not first.unwrapped.action_space
