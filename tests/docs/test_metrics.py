"""docs/metrics.md explains every metric of a run, and no other."""

from __future__ import annotations

import pathlib
import re

import pytest

from docs.generate import own_index
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.composition.recipes import Recipes
from esper_core.learning.metrics import METRICS
from esper_core.learning.session import open_training
from esper_core.learning.thresholds import THRESHOLDS
from esper_core.registry.loading import load_index
from esper_core.registry.references import load_reference
from esper_league import League


def documented() -> dict[str, str]:
    """Return a pattern for every metric that core or a component declares."""
    declared = [METRICS, *(load_reference(c.spec.metrics, str(c)) for c in own_index().components if c.spec.metrics)]
    named = [[name for metric in metrics for name in metric.names] for metrics in declared]
    assert all(len(names) == len(set(names)) for names in named), "a metric is declared twice"
    return {
        name: re.sub(r"<[^>]+>", "[^/]+", re.escape(name).replace(r"\<", "<").replace(r"\>", ">"))
        for names in named
        for name in names
    }


def test_every_metric_of_a_run_is_explained_and_no_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path))
    options = ["environment.epochs=6", "environment.instances=2", "environment.workers=1"]
    options += ["task.train_samples=100", "network.hidden_dim=16", "critic.privileged=true", "train.leave_one_out=true"]
    options += ["environment.repeats=2", 'environment.instance_weights=["digits=0.5"]']
    growth = PlanRequest(policy="lstm-slots", slots="2,3", options=options, envs=4, updates=1, device="cpu")
    uses, options = {"environment": "gymnasium"}, ["environment.id=Pendulum-v1"]
    numbers = PlanRequest(policy="mlp", slots="1", uses=uses, options=options, envs=1, updates=1, device="cpu")
    options = ["train.rollout_steps=240", "train.update_epochs=1"]
    known = {"policy": "combat-suite", "environment": "echelon", "envs": 1, "updates": 1}
    index, metrics = load_index(), {}
    with League.create(tmp_path / "league", make_plan(PlanRequest(**known), index), index) as league:
        league.add_rule("hold", index)
    options += [f"opponents.dir={tmp_path / 'league'}", "opponents.self_play=0"]
    matches = PlanRequest(**known, options=options, wanted=("opponents",), uses={"rule": "hold"})
    for request in (growth, numbers, matches):
        trainer = open_training(make_plan(request, index, Recipes()), index)
        (update,) = trainer.run(1)
        trainer.environment.close()
        metrics |= update.metrics
    patterns = documented().values()
    assert [name for name in metrics if not any(re.fullmatch(p, name) for p in patterns)] == []
    assert [p for p in patterns if not any(re.fullmatch(p, name) for name in metrics)] == []


def test_metrics_named_in_warnings_are_explained() -> None:
    patterns = documented().values()
    for threshold in THRESHOLDS:
        for bound in (threshold.bound, *threshold.given):
            for name in filter(None, (bound.metric.replace("*", "x"), bound.unit)):
                assert any(re.fullmatch(pattern, name) for pattern in patterns), name
