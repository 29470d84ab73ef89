"""Worlds of lamps to evaluate in, and runs of the reference policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from esper_core.composition.build import build_parts
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.learning.session import open_session
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import save_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_testing.reference.plugin import REFERENCES, with_references

MakeRun = Callable[..., RunDirectory]


@pytest.fixture(scope="session")
def index() -> Index:
    """Core, the reference world and the rules of growth."""
    return with_references(load_index(only=("growth", "evaluation")))


def request(**said: Any) -> PlanRequest:
    uses = {**REFERENCES, **said.pop("uses", {})}
    known = {"policy": REFERENCES["network"], "slots": "2", "envs": 3, "updates": 2, "device": "cpu"}
    return PlanRequest(**{**known, **said, "uses": uses})


@pytest.fixture(scope="session")
def make_run(index: Index, tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Return a function that trains the reference policy; what it is given changes the request."""
    out = tmp_path_factory.mktemp("runs")

    def make(**said: Any) -> RunDirectory:
        plan = make_plan(request(**said), index)
        run = RunDirectory.create(out, plan, index)
        trainer = open_session(plan, index)
        for update in trainer.run(plan.updates):
            run.append_metrics(update)
            save_checkpoint(run, trainer, update)
        return run

    return make


@pytest.fixture(scope="session")
def runs(make_run: MakeRun) -> list[RunDirectory]:
    """Two policy seeds of one policy. Copy them before evaluating."""
    return [make_run(seed=0), make_run(seed=1)]


@pytest.fixture
def lamps(index: Index) -> Iterator[Callable[..., tuple[Any, Any]]]:
    """Return a function that builds an environment and its masks."""
    built = []

    def build(envs: int = 3, layout: str = "slotted", epochs: int = 6) -> tuple[Any, Any]:
        options = (f"environment.layout={layout}", f"environment.epochs={epochs}")
        parts = build_parts(make_plan(request(envs=envs, options=options), index), index, only=("environment", "masks"))
        built.append(parts["environment"])
        return parts["environment"], parts["masks"]

    yield build
    for environment in built:
        environment.close()
