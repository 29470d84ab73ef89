"""Tasks and hosts of people's own, changed between two runs that share a cache: doing nothing pays nothing."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest
import torch

import esper_growth
from esper_core.composition.build import build_parts
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry import sources
from esper_core.registry.loading import load_index
from esper_testing.distributions import FakeSite

TEMPLATES = Path(esper_growth.__file__).parent / "templates"
OPTIONS = ("environment.epochs=4", "environment.workers=1")


def forget():
    """Let the next import read the files again, as in a new process."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("my_task", "my_host")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    sources.forget()


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return a folder on the path with the templates of a task and of a host, installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "cache"))
    for kind in ("task", "host"):
        shutil.copytree(TEMPLATES / kind / f"my_{kind}", tmp_path / f"my_{kind}")
        FakeSite(tmp_path).install(f"my-{kind}", {f"my-{kind}": f"my_{kind}.plugin"})
    yield tmp_path
    forget()


def idle(kind, *options):
    """Return what doing nothing pays, and what the static curves depend on."""
    forget()
    index = load_index()
    uses = {"network": "lstm-v1", "environment": "growth", kind: f"my-{kind}"}
    plan = make_plan(PlanRequest(uses=uses, slots="3", envs=2, device="cpu", options=(*OPTIONS, *options)), index)
    environment = build_parts(plan, index, only=("task", "host", "blueprint", "environment"))["environment"]
    environment.reset(options={"instances": [0, 1]})
    waiting = {head.name: torch.full((2,), head.neutral) for head in environment.actions.heads}
    returns = sum(environment.step(waiting)[1] for _ in range(4))
    environment.close()
    return returns.tolist(), [environment.curves.full_key(i) for i in (0, 1)]


def edited(file, before, after):
    text = file.read_text()
    assert before in text
    # Python takes a compiled file for the right one where size and second of the source are the same.
    shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)
    file.write_text(text.replace(before, after))


def test_what_idling_pays_after_a_change_is_nothing(site):
    task = site / "my_task/task.py"
    # An option that the task's name does not say, then a constant of its module.
    edited(task, "n{config.noise:g}", "")
    before, key = idle("task")
    assert before == idle("task", "task.noise=3.0")[0] == [0.0, 0.0]
    edited(task, "SIZE, PERIOD = 8, 4", "SIZE, PERIOD = 8, 3")
    after, changed = idle("task")
    assert after == [0.0, 0.0] and key != changed and idle("task") == (after, changed)
    # A host's width, in a module of its own.
    before, key = idle("host", "environment.runtime=loop")
    edited(site / "my_host/config.py", "option(16,", "option(8,")
    edited(site / "my_host/host.py", "my-host-w{config.width}", "my-host")
    after, changed = idle("host", "environment.runtime=loop")
    assert before == after == [0.0, 0.0] and key != changed
