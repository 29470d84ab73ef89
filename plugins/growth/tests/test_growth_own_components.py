"""Tasks and hosts of people's own, changed between two runs that share a cache: doing nothing pays nothing."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest
import torch

import esper_core.builtin.plugin
import esper_factored_ppo.plugin
import esper_growth.plugin
import esper_lstm_v2.plugin
import esper_obs_v3.plugin
import esper_op_conditioned_critic.plugin
from esper_core.plan.build import build_parts
from esper_core.plan.plan import PlanRequest, make_plan
from esper_core.registry import sources
from esper_growth.fused import compiler
from esper_growth.fused.compiler import Library, NoCompiler
from esper_testing.index import index_from_plugins

TEMPLATES = Path(esper_growth.plugin.__file__).parent / "templates"
INSTALLED = {
    "core": esper_core.builtin.plugin,
    "growth": esper_growth.plugin,
    "lstm-v2": esper_lstm_v2.plugin,
    "obs-v3": esper_obs_v3.plugin,
    "op-conditioned-critic": esper_op_conditioned_critic.plugin,
    "factored-ppo": esper_factored_ppo.plugin,
}
OPTIONS = ("environment.epochs=4", "environment.workers=1", "environment.kernels=torch")


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "site"
    forget()


def forget():
    """Let the next import read the files again, as in a new process."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("my_task", "my_host")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    sources.forget()


@pytest.fixture
def idle_returns(site):
    """Return a function that copies a template, and one that returns what doing nothing pays with it."""

    def copied(kind):
        shutil.copytree(TEMPLATES / kind / f"my_{kind}", site / f"my_{kind}")
        return site / f"my_{kind}"

    def played(kind, *options):
        forget()
        own = {f"my-{kind}": importlib.import_module(f"my_{kind}.plugin")}
        index = index_from_plugins({**INSTALLED, **own})
        uses = {"network": "lstm-v1", "environment": "growth", kind: f"my-{kind}"}
        request = PlanRequest(uses=uses, slots="3", envs=2, device="cpu", options=(*OPTIONS, *options))
        plan = make_plan(request, index)
        environment = build_parts(plan, index, only=("task", "host", "blueprint", "environment"))["environment"]
        environment.reset(options={"instances": [0, 1]})
        idle = {head.name: torch.full((2,), head.neutral) for head in environment.actions.heads}
        returns = sum(environment.step(idle)[1] for _ in range(4))
        environment.close()
        return returns.tolist(), [environment.curves.full_key(i) for i in (0, 1)]

    return copied, played


def edited(file, before, after):
    text = file.read_text()
    assert before in text
    # Python takes a compiled file for the right one where size and second of the source are the same.
    shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)
    file.write_text(text.replace(before, after))


def test_what_idling_pays_after_a_change_is_nothing(idle_returns):
    copied, played = idle_returns
    task, host = copied("task") / "task.py", copied("host")
    # An option that the task's name does not say, then a constant of its module.
    edited(task, "n{config.noise:g}", "")
    before, key = played("task")
    assert before == played("task", "task.noise=3.0")[0] == [0.0, 0.0]
    edited(task, "SIZE, PERIOD = 8, 4", "SIZE, PERIOD = 8, 3")
    after, changed = played("task")
    assert after == [0.0, 0.0] and key != changed and played("task") == (after, changed)
    # A module beside that of a host.
    (host / "blocks.py").write_text("KERNEL = 1\n")
    edited(host / "host.py", "from my_host.config", "from my_host.blocks import KERNEL\nfrom my_host.config")
    edited(host / "host.py", "if index == 0 else 1\n", "if index == 0 else KERNEL\n")
    before, key = played("host", "environment.runtime=loop")
    edited(host / "blocks.py", "KERNEL = 1", "KERNEL = 2")
    after, changed = played("host", "environment.runtime=loop")
    assert before == after == [0.0, 0.0] and key != changed


def test_kernels_that_were_compiled_otherwise(make_environment, monkeypatch):
    def key():
        return make_environment(kernels="compiled", curves=None).curves.full_key(0)

    try:
        library = compiler.load()
    except NoCompiler as error:
        pytest.skip(str(error))
    before = key()
    monkeypatch.setattr(compiler, "load", lambda: Library(library.kernels, "otherwise"))
    assert key() != before and key()["kernels"] == "compiled otherwise"
