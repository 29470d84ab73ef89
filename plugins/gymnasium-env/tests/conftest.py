"""Gymnasium environments by name, which are forgotten after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import pytest

from esper_core.composition.build import build_parts
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index


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

    def plan(name: str, *options: str, envs: int = 2, updates: int = 1) -> Plan:
        chosen = ("network.hidden_dim=8", f"environment.id={name}", *(f"environment.{option}" for option in options))
        request = PlanRequest(
            policy="lstm-v1", environment="gymnasium", envs=envs, updates=updates, options=chosen, seed=3
        )
        return make_plan(request, index)

    return plan


@pytest.fixture
def build(index: Index, plan: Callable[..., Plan]) -> Callable[..., dict[str, Any]]:
    """Return a function that builds an environment and its masks."""

    def build(name: str, *options: str, envs: int = 2) -> dict[str, Any]:
        return build_parts(plan(name, *options, envs=envs), index, only={"environment", "masks"})

    return build
