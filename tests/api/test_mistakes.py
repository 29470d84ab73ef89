"""Mistakes of a session in Python: what a call did wrong changes nothing of the calls after it."""

from __future__ import annotations

import threading

import pytest
from torch import nn

import esper_core as esper
from esper_core.registry import local
from tests.api.conftest import small


class Another(nn.Module):
    """A class that no plan is made with."""


@pytest.fixture
def tried():
    yield
    local._sources.clear()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda run: esper.train("lstm-v2"), "'lstm-v2' is no plan"),
        (lambda run: esper.train(small(), out=3), "out cannot be 3"),
        (lambda run: esper.resume(run.plan), "is no run"),
        (lambda run: esper.load(None), "None is no run"),
        (lambda run: esper.evaluate(3), "3 is no run"),
        (lambda run: esper.plan(Another), "policy cannot be <class"),
        (lambda run: esper.plan("lstm-v2", use=["network"]), "use cannot be"),
        (lambda run: esper.plan("lstm-v2", use={"critic": None}), "None is no component"),
        (lambda run: esper.check(Another, kind="netwrk"), "no kind 'netwrk'. Did you mean 'network'"),
        (lambda run: esper.load(run).make_environment(envs=0), "envs cannot be 0"),
        (lambda run: esper.load(run, use={"network": Another}), "network is esper-lstm-v2:lstm-v2, not local:another"),
        (lambda run: esper.resume(run, use={"critic": "state-value"}), "not state-value"),
    ],
)
def test_what_is_said(trained, tried, call, says):
    with pytest.raises(esper.EsperError) as caught:
        call(trained)
    assert says in str(caught.value) and caught.value.exit_code == 2


def test_a_class_that_was_tried_is_chosen_by_nobody_else(tried):
    before = small()
    for kind in ("environment", "critic", "network"):
        with pytest.raises(esper.EsperError):
            esper.plan("lstm-v2", use={kind: Another, "loss": "nothing"})
    assert small() == before
    assert {"another"}.isdisjoint(row["policy"] for row in esper.policies())


def test_runs_of_two_threads_take_turns(trained, tmp_path):
    threads = [
        threading.Thread(target=lambda out=name: esper.train(small(), updates=1, out=tmp_path / out)) for name in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    returns = [esper.resume(run).metrics()[0]["entropy/op"] for run in sorted(tmp_path.glob("[ab]/*"))]
    assert returns == 2 * [trained.metrics()[0]["entropy/op"]]


def test_a_run_that_is_gone_is_not_an_empty_one(tmp_path):
    run = esper.train(small(), updates=1, out=tmp_path / "runs")
    run.path.rename(tmp_path / "elsewhere")
    with pytest.raises(esper.EsperError, match=r"is not a run: it has no run\.json"):
        esper.load(run)
    assert esper.load(tmp_path / "elsewhere").plan.components == run.plan.components
