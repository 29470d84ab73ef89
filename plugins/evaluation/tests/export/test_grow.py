"""Playing an episode with a checkpoint's policy, without chance."""

from __future__ import annotations

import pytest
import torch

from esper_core.composition.build import build_parts
from esper_core.contracts.errors import UserError
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import choose_checkpoint, list_checkpoints, load_policy
from esper_core.runs.directory import RunDirectory
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


def test_a_policy_is_loaded_with_its_weights_alone(runs: list[RunDirectory], index: Index) -> None:
    run = runs[0]
    parts = build_parts(run.plan, index)
    policy = Policy(parts["network"], parts["critic"], parts["environment"].actions)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    for checkpoint in list_checkpoints(run):
        load_policy(checkpoint, policy, parts["features"], run.plan, index)
        loaded = {name: value.clone() for name, value in policy.state_dict().items()}
        assert any(not torch.equal(before[name], loaded[name]) for name in before)
        before = loaded
