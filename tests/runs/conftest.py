"""A small real run, trained once, which tests copy before they damage it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.learning.session import open_session
from esper_core.learning.trainer import Trainer, Update
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import save_checkpoint
from esper_core.runs.directory import RunDirectory

TINY = (
    "environment.epochs=3",
    "environment.instances=2",
    "environment.workers=1",
    "task.train_samples=100",
    "network.hidden_dim=16",
)

MakePlan = Callable[..., Plan]


@pytest.fixture(scope="session", autouse=True)
def curve_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESPER_CACHE", str(tmp_path_factory.mktemp("curves")))
        yield


@pytest.fixture(scope="session")
def index() -> Index:
    return load_index()


@pytest.fixture(scope="session")
def plan_for(index: Index) -> MakePlan:
    """Return a function that makes tiny plans; what it is given changes the request."""

    def make(**said: object) -> Plan:
        options = [*TINY, *said.pop("options", ())]  # type: ignore[misc]
        request = {"policy": "lstm-v2", "slots": "2", "envs": 2, "updates": 3, "device": "cpu", **said}
        return make_plan(PlanRequest(options=options, **request), index)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def plan(plan_for: MakePlan) -> Plan:
    return plan_for()


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, plan: Plan, index: Index
) -> tuple[RunDirectory, Trainer, list[Update]]:
    """A run of three updates, the trainer at its end, and its updates. Not to be changed."""
    run = RunDirectory.create(tmp_path_factory.mktemp("trained"), plan, index)
    trainer = open_session(plan, index)
    updates = []
    for update in trainer.run(plan.updates):
        run.append_events(update)
        run.append_metrics(update)
        save_checkpoint(run, trainer, update)
        updates.append(update)
    trainer.environment.close()
    return run, trainer, updates


@pytest.fixture
def run(trained: tuple[RunDirectory, Trainer, list[Update]], tmp_path: Path) -> RunDirectory:
    """A copy of the trained run."""
    return RunDirectory.open(shutil.copytree(trained[0].path, tmp_path / trained[0].name))
