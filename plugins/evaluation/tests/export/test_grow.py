"""Playing an episode with a checkpoint's policy, without chance."""

from __future__ import annotations

import pytest
import torch

from esper_core.composition.build import build_parts
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.contracts.errors import UserError
from esper_core.learning.session import open_session
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import choose_checkpoint, list_checkpoints, load_policy, save_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_evaluation.export.grow import grow
from esper_testing.reference.plugin import REFERENCES, with_references


@pytest.fixture(scope="module")
def index() -> Index:
    return with_references(load_index(only=()))


@pytest.fixture(scope="module")
def run(index: Index, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of the reference components, with the checkpoints of three updates."""
    request = PlanRequest(policy=REFERENCES["network"], slots="2", uses=REFERENCES, envs=2, updates=3, device="cpu")
    plan = make_plan(request, index)
    trainer = open_session(plan, index)
    run = RunDirectory.create(tmp_path_factory.mktemp("runs"), plan, index)
    for update in trainer.run(3):
        run.append_metrics(update)
        save_checkpoint(run, trainer, update)
    return run


def test_a_checkpoint_is_the_last_the_best_or_that_of_an_update(run: RunDirectory) -> None:
    returns = {line["update"]: line["return"] for line in run.metrics()}
    assert choose_checkpoint(run, "last").name == "000003"
    assert int(choose_checkpoint(run, "best").name) == max(returns, key=lambda update: (returns[update], update))
    assert choose_checkpoint(run, "2").name == "000002"


@pytest.mark.parametrize("at", ["7", "²"])
def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(run: RunDirectory, at: str) -> None:
    with pytest.raises(UserError, match="no checkpoint") as raised:
        choose_checkpoint(run, at)
    assert "1, 2, 3" in raised.value.hint


def test_an_environment_that_grows_nothing_has_nothing_to_export(run: RunDirectory, index: Index) -> None:
    with pytest.raises(UserError, match="nothing to export"):
        grow(choose_checkpoint(run, "last"), index, 0)


def test_a_policy_is_loaded_with_its_weights_alone(run: RunDirectory, index: Index) -> None:
    parts = build_parts(run.plan, index)
    policy = Policy(parts["network"], parts["critic"], parts["environment"].actions)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    first, *_, last = list_checkpoints(run)
    load_policy(first, policy, parts["features"], run.plan, index)
    after = policy.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    loaded = {name: value.clone() for name, value in after.items()}
    load_policy(last, policy, parts["features"], run.plan, index)
    assert any(not torch.equal(loaded[name], value) for name, value in policy.state_dict().items())
