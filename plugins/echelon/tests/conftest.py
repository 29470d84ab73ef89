"""Environments built by name, which are closed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from esper_core.composition.build import build_environment
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index


@pytest.fixture(scope="session")
def index() -> Index:
    return load_index()


@pytest.fixture(scope="session")
def plan(index: Index) -> Callable[..., Plan]:
    """Return a function that plans with options of the environment, such as `packs=2`."""

    def plan(*options: str, policy: str = "combat-suite", **sizes: Any) -> Plan:
        chosen = [f"environment.{option}" if "." not in option.partition("=")[0] else option for option in options]
        sizes = {"envs": 2, "updates": 1, "seed": 3} | sizes
        return make_plan(PlanRequest(policy=policy, uses={"environment": "echelon"}, options=chosen, **sizes), index)

    return plan


@pytest.fixture
def build(plan: Callable[..., Plan], index: Index) -> Iterator[Callable[..., Any]]:
    """Return a function that builds the environment with such options."""
    built: list[Any] = []

    def build(*options: str, **sizes: Any) -> Any:
        built.append(build_environment(plan(*options, **sizes), index).parts["environment"])
        return built[-1]

    yield build
    for environment in built:
        environment.close()
