"""Playing an episode with a checkpoint's policy, without chance."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from esper_core.api.player import load_player
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.contracts.errors import UserError
from esper_core.learning.session import open_session
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import choose_checkpoint, list_checkpoints, save_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import read_header
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


def test_who_plays_has_the_weights_of_its_checkpoint(run: RunDirectory, index: Index) -> None:
    for path in list_checkpoints(run):
        saved, loaded = (
            load_file(path / "policy.safetensors"),
            load_player(read_header(path), index).policy.state_dict(),
        )
        assert saved.keys() == loaded.keys() and all(torch.equal(saved[name], loaded[name]) for name in saved)
