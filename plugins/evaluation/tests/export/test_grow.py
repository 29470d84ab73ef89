"""Playing an episode with a checkpoint's policy, without chance."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from esper_core.api.player import load_player
from esper_core.contracts.errors import UserError
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import choose_checkpoint, list_checkpoints
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import read_header
from esper_evaluation.export.grow import grow


def test_a_checkpoint_is_the_last_the_best_or_that_of_an_update(runs: list[RunDirectory]) -> None:
    run = runs[0]
    returns = {line["update"]: line["return"] for line in run.metrics()}
    assert int(choose_checkpoint(run, "best").name) == max(returns, key=lambda update: (returns[update], update))
    assert (choose_checkpoint(run, "last").name, choose_checkpoint(run, "1").name) == ("000002", "000001")
    for absent in ("7", "²"):
        with pytest.raises(UserError, match="no checkpoint") as raised:
            choose_checkpoint(run, absent)
        assert "1, 2" in raised.value.hint


def test_an_environment_that_grows_nothing_has_nothing_to_export(runs: list[RunDirectory], index: Index) -> None:
    with pytest.raises(UserError, match="nothing to export"):
        grow(choose_checkpoint(runs[0], "last"), index, 0)


def test_who_plays_has_the_weights_of_its_checkpoint(runs: list[RunDirectory], index: Index) -> None:
    for path in list_checkpoints(runs[0]):
        saved, loaded = (
            load_file(path / "policy.safetensors"),
            load_player(read_header(path), index).policy.state_dict(),
        )
        assert saved.keys() == loaded.keys() and all(torch.equal(saved[name], loaded[name]) for name in saved)
