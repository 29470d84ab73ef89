"""A Gymnasium environment that follows a script, and environments built by name, which are forgotten afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from esper_core.composition.build import build_parts
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index


class Scripted(gymnasium.Env[Any, Any]):
    """Shows and pays the step's number and ends after `length` steps, unless its script replaces one of these.

    A script names attributes: values, or functions of the environment.
    """

    observation_space: gymnasium.Space[Any] = spaces.Box(0.0, 10.0, (2,))
    action_space: gymnasium.Space[Any] = spaces.Discrete(3)

    def __init__(self, length: int = 4, **script: Any) -> None:
        self.length, self.taken = length, list[Any]()
        for name, value in script.items():
            setattr(self, name, MethodType(value, self) if callable(value) else value)

    def look(self) -> Any:
        return np.full(2, self.t, np.float32)

    def pay(self) -> Any:
        return float(self.t)

    def end(self) -> Any:
        return self.t == self.length, False

    def info(self) -> Any:
        return {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.look(), self.info()

    def step(self, action: Any) -> Any:
        self.taken.append(action)
        self.t += 1
        return self.look(), self.pay(), *self.end(), self.info()


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    before = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


@pytest.fixture(scope="session")
def index() -> Index:
    return load_index()


@pytest.fixture
def plan(index: Index) -> Callable[..., Plan]:
    """Return a function that plans with an environment by its id, and options of it."""

    def plan(name: str, *options: str, features: str = "gymnasium", policy: str = "lstm-v1", **sizes: int) -> Plan:
        chosen = ("network.hidden_dim=8", f"environment.id={name}", *(f"environment.{option}" for option in options))
        sizes = {"envs": 2, "updates": 1} | sizes
        uses = {"environment": "gymnasium", "features": features}
        return make_plan(PlanRequest(policy=policy, uses=uses, options=chosen, seed=3, **sizes), index)

    return plan


@pytest.fixture
def build(index: Index, plan: Callable[..., Plan]) -> Callable[..., dict[str, Any]]:
    """Return a function that builds an environment and its masks."""

    def build(name: str, *options: str, envs: int = 2, policy: str = "lstm-v1") -> dict[str, Any]:
        return build_parts(plan(name, *options, envs=envs, policy=policy), index, only={"environment", "masks"})

    return build


@pytest.fixture
def scripted(build: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return a function that builds environment and masks of a script, registered as Scripted-v0."""

    def scripted(
        *options: str, limit: int | None = 6, wrap: Any = lambda env: env, policy: str = "lstm-v1", **script: Any
    ) -> dict[str, Any]:
        gymnasium.registry.pop("Scripted-v0", None)
        gymnasium.register("Scripted-v0", lambda **more: wrap(Scripted(**script, **more)), max_episode_steps=limit)
        return build("Scripted-v0", *options, policy=policy)

    return scripted
