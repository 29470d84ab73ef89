"""A new run that begins with the weights of another: what comes along, what may be another, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import esper_core as esper
from esper_core import Run
from esper_core.cli.app import run as run_command
from esper_core.contracts.errors import CheckpointMismatch, ConfigError, UserError
from esper_core.contracts.plain import from_exact
from esper_core.learning.session import open_session
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import best_checkpoint, load_init
from tests.api.conftest import small

SLOTS = {"task.train_samples": 100, "environment.workers": 1, "network.hidden_dim": 16, "train.lr": 0.001}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[Run]:
    """A run of two updates with weights for any number of slots; nothing may change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESPER_CACHE", str(shared / "cache"))
        plan = esper.plan("lstm-slots", 2, envs=2, epochs=4, seed=3, options=SLOTS)
        yield esper.train(plan, updates=2, out=tmp_path_factory.mktemp("origin"))


def weights(run: Run, update: int) -> dict[str, torch.Tensor]:
    return load_file(run.checkpoints / f"{update:06d}" / "policy.safetensors")


def test_what_is_not_said_is_as_in_the_run(origin: Run) -> None:
    plan = esper.plan(init=origin.path, slots=5, epochs=3, options={"environment.rent": 0.5, "loss.clip": 0.1})
    assert (plan.policy, len(plan.slots), plan.seed, plan.envs) == ("lstm-slots", 5, 3, 2)
    assert (plan.train["lr"], plan.component("network").config["hidden_dim"]) == (0.001, 16)
    environment = plan.component("environment").config
    assert (environment["epochs"], environment["rent"], environment["workers"]) == (3, 0.5, 1)
    assert plan.component("loss").config["clip"] == 0.1
    digest = json.loads((origin.checkpoints / "000002" / "state.json").read_text())["digest"]
    assert plan.init is not None
    assert (plan.init.run, plan.init.update, plan.init.digest) == (str(origin.path), 2, digest)
    assert esper.plan(init=origin.checkpoints / "000001").init.update == esper.plan(init=origin, at=1).init.update == 1


def test_weights_and_units_come_along_and_nothing_else(origin: Run) -> None:
    index, plan = load_index(), esper.plan(init=origin, slots=4)
    trainer = open_session(plan, index)
    load_init(trainer, plan, index)
    state, saved = trainer.state(), weights(origin, 2)
    assert saved.keys() == state.tensors["policy"].keys()
    assert all(torch.equal(value, state.tensors["policy"][name]) for name, value in saved.items())
    assert state.tensors["optimiser"] == {}
    assert (state.counters["updates_done"], state.counters["environment_steps"]) == (0, 0)
    units = load_file(origin.checkpoints / "000002" / "normaliser.safetensors")
    steps = trainer.rollout.valid.numel()
    assert (trainer.normaliser.mean, trainer.normaliser.count) == (float(units["mean"]), steps)
    assert trainer.normaliser.spread == pytest.approx(float((units["squares"] / units["count"]).sqrt()))
    trainer.environment.close()


def test_the_critic_goes_on_in_units_of_reward(origin: Run) -> None:
    """Without normalised returns it says the same, in other units."""
    index = load_index()
    said = []
    for normalise in (True, False):
        plan = esper.plan(init=origin, options={"train.normalise_returns": normalise})
        trainer = open_session(plan, index)
        load_init(trainer, plan, index)
        latent = torch.linspace(-1, 1, 3 * trainer.policy.network.latent_dim).view(1, 3, -1)
        uniform = torch.full((1, 3, len(trainer.policy.actions.ops)), 1 / len(trainer.policy.actions.ops))
        with torch.no_grad():
            value = trainer.policy.critic(latent, uniform, torch.zeros(1, 3, dtype=torch.int64)).value
        said.append(trainer.normaliser.denormalise(value))
        trainer.environment.close()
    assert trainer.normaliser.unit == 1.0
    torch.testing.assert_close(*said)


def test_a_run_says_where_it_began(origin: Run, tmp_path: Path) -> None:
    run = esper.train(esper.plan(init=origin, slots="1,2", updates=2), out=tmp_path)
    recorded = json.loads((run.path / "run.json").read_text())["plan"]
    assert recorded["init"]["run"] == str(origin.path) and recorded["drawn"] == [1, 2]
    header = json.loads((run.checkpoints / "000002" / "state.json").read_text())
    assert header["plan"]["init"] == recorded["init"]
    assert run.plan.init == esper.plan(init=origin).init and run.metrics()[-1]["update"] == 2


def test_another_run_may_begin_with_a_plan_of_ones_own(origin: Run, trained: Run, tmp_path: Path) -> None:
    run = esper.train(small(), updates=1, init=trained, out=tmp_path)
    assert run.plan.init is not None and run.plan.init.run == str(trained.path)
    with pytest.raises(CheckpointMismatch, match=r"lstm-slots +lstm-v2"):
        esper.train(small(), updates=1, init=origin, out=tmp_path)


def test_before_its_first_update_a_run_begins_again_with_the_same_weights(origin: Run, tmp_path: Path) -> None:
    source = Path(shutil.copytree(origin.path, tmp_path / "source"))

    def stop(progress: Any) -> None:
        raise KeyboardInterrupt

    plan = esper.plan(init=source, updates=1)
    with pytest.raises(KeyboardInterrupt):
        esper.train(plan, out=tmp_path / "stopped", on_step=stop)
    (stopped,) = (tmp_path / "stopped").iterdir()
    whole = esper.train(plan, out=tmp_path / "whole")
    resumed = esper.resume(stopped)
    one, other = weights(whole, 1), weights(resumed, 1)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    shutil.rmtree(source)
    with pytest.raises(CheckpointMismatch, match="is not a checkpoint") as caught:
        esper.train(plan, out=tmp_path / "gone")
    assert "until its first update" in caught.value.hint and not list((tmp_path / "gone").iterdir())


def test_what_cannot_fit_is_refused_with_the_table(origin: Run, trained: Run, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match=r"slots \(2 → 3\)") as caught:
        esper.plan(init=trained, slots=3)
    assert "not portable" in caught.value.hint
    with pytest.raises(CheckpointMismatch, match=r"critic +op-conditioned-critic +state-value"):
        esper.plan(init=origin, use={"critic": "state-value"})
    for slots in (2, 3):  # by the digest of the whole, and block by block
        with pytest.raises(CheckpointMismatch, match="feature schema") as caught:
            esper.plan(init=origin, slots=slots, options={"features.parameter_budget": 77_000})
        assert "features.parameter_budget was" in caught.value.hint and "is 77000" in caught.value.hint
    with pytest.raises(CheckpointMismatch, match=r"weights 'network\.\S+' +\[.*16.*\] +\[.*24.*\]") as caught:
        esper.train(esper.plan(init=origin, options={"network.hidden_dim": 24}), updates=1, out=tmp_path / "none")
    assert "network.hidden_dim was 16 and is 24" in caught.value.hint and " more" in caught.value.message
    assert not list((tmp_path / "none").iterdir()), "no run is left behind"


def test_wrong_use(origin: Run, esper_command: Any) -> None:
    with pytest.raises(ConfigError, match="'lstm-v2' cannot be named beside"):
        esper.plan("lstm-v2", init=origin)
    with pytest.raises(UserError, match="no checkpoint of update 9"):
        esper.plan(init=origin, at=9)
    with pytest.raises(UserError, match="There is no run 'nobody'"):
        esper.plan(init="nobody")
    for words, said in (
        (("--init", str(origin.path), "--policy", "lstm-v2"), "cannot be named beside"),
        (("--init", str(origin.path), "--resume", str(origin.path)), "--init cannot stand beside --resume"),
        (("--at", "1"), "--init RUN --at K"),
    ):
        status, text = esper_command("train", *words)
        assert status == 2 and said in " ".join(text.split()), text


def test_the_command_begins_with_weights_and_runs_show_says_so(origin: Run, esper_command: Any) -> None:
    words = "--at", "best", "--slots", "3", "--updates", "1", "--json", "--out", "out"
    status, text = esper_command("train", "--init", str(origin.path), *words)
    assert status == 0, text
    (run,) = Path("out").iterdir()
    status, text = esper_command("runs", "show", str(run))
    said = " ".join(text.split())
    best = best_checkpoint(origin)
    assert best is not None and f"begun with {origin.path}, update {int(best.name)}" in said
    assert "loads with any number of slots; trained with 3" in said
    assert "played with runtime engine, kernels" in said or "played with runtime loop" in said, "what trains hosts"


def test_what_features_have_seen_comes_along(tmp_path: Path) -> None:
    options = {"environment.normalise_obs": True, "environment.horizon": 20}
    plan = esper.plan("mlp", use={"environment": "gymnasium"}, envs=2, updates=1, options=options)
    run = esper.train(plan, out=tmp_path)
    index, again = load_index(), esper.plan(init=run)
    trainer = open_session(again, index)
    load_init(trainer, again, index)
    saved = json.loads((run.checkpoints / "000001" / "state.json").read_text())["counters"]["parts"]["features"]
    assert trainer.state().counters["parts"]["features"] == from_exact(saved)
    trainer.environment.close()


@pytest.fixture
def esper_command(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the command, and returns its status and what was said."""

    def call(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = run_command(words)
        return status, "".join(capsys.readouterr())

    return call
