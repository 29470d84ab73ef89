"""`import esper_core`: light, typed, and complete."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import esper_core as esper

BROUGHT = ("check", "evaluate", "spike")


def test_importing_and_planning_imports_no_torch(without_torch):
    code = "import esper_core as e; e.plugins(); e.policies(); print(len(e.plan('lstm-v2', 5).slots)); e.train"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(without_torch)},
    )
    assert (done.stdout, done.returncode) == ("5\n", 0), done.stderr


def test_every_name_is_there_and_documented():
    for name in (*esper.__all__, *BROUGHT):
        found = getattr(esper, name)
        assert inspect.getdoc(found), name
        if inspect.isroutine(found) and name not in ("hookimpl", "option"):
            assert "Raises:" in inspect.getdoc(found), name
    assert {*esper.__all__} <= {*dir(esper)}
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        esper.trian  # noqa: B018


def test_a_function_of_a_distribution_that_is_missing_names_it(monkeypatch):
    monkeypatch.setattr("esper_core.system.packages.installed_version", lambda name: "")
    monkeypatch.delitem(vars(esper), "spike", raising=False)
    with pytest.raises(esper.EsperError, match=r"esper-testing, which is not installed.\npip install esper-testing"):
        esper.spike  # noqa: B018


PROJECT = """
import esper_core as esper

plan = esper.plan(policy="lstm-v2", slots=5, options={"network.hidden_dim": 64})
run = esper.train(plan, updates=2, on_update=print)
reveal_type(run.path)
player = esper.load(run, at="best")
reveal_type(player.act)
esper.trian(plan)
esper.train(plan, updates="2")
"""


@pytest.mark.slow
def test_a_project_of_ones_own_is_checked_against_the_types(tmp_path):
    (tmp_path / "project.py").write_text(PROJECT)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "project.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(Path(__file__).parents[2])},  # an editable install is not found by itself
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("project.py")]
    assert len(lines) == 4, done.stdout
    assert 'Revealed type is "pathlib' in lines[0] and "Tensor" in lines[1]
    assert 'has no attribute "trian"' in lines[2] and 'Argument "updates"' in lines[3]


def test_what_a_plan_takes():
    plan = esper.plan("lstm-v2", ["r0c0", "r0c2"], options=["network.hidden_dim=32"], seed=3)
    assert plan.slots == ("r0c0", "r0c2") and plan.component("network").config["hidden_dim"] == 32 and plan.seed == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"policy": "lstm-v3"}, "No policy named 'lstm-v3'. Did you mean 'lstm-v2'"),
        ({"slots": 2.5}, "slots cannot be 2.5"),
        ({"envs": "4"}, "envs cannot be '4'.\nIt is a whole number"),
        ({"device": 3}, "device cannot be 3.\nIt is a string"),
        ({"options": {"network.hiden_dim": 3}}, "no option 'network.hiden_dim'. Did you mean 'hidden_dim'"),
        ({"options": {"hidden_dim": 3}}, "The option 'hidden_dim' cannot be read"),
        ({"options": {"network.hidden_dim": "64"}}, "'network.hidden_dim' cannot be '64'"),
        ({"options": "network.hidden_dim=3"}, "Options cannot be"),
    ],
)
def test_what_no_plan_can_be_made_of(wrong, said):
    with pytest.raises(esper.EsperError) as caught:
        esper.plan(**{"policy": "lstm-v2", **wrong})
    assert said in str(caught.value)
