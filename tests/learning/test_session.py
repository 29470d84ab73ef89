"""From a plan to a trainer, with the installed plugins and real hosts: every wire between them carries something."""

from __future__ import annotations

import math
import pathlib

import pytest
import torch

from esper_core.composition.plan import Plan, PlanRequest, describe_plan, make_plan
from esper_core.composition.recipes import load_recipes
from esper_core.contracts.errors import ConfigError
from esper_core.learning.rollout import Rollout
from esper_core.learning.session import open_session
from esper_core.learning.trainer import Trainer, Update
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_testing.fake_device import FakeDevice

TINY = ["environment.epochs=4", "environment.instances=2", "environment.workers=1", "task.train_samples=100"]
NARROW = [*TINY, "network.hidden_dim=16"]


@pytest.fixture(scope="module", autouse=True)
def curve_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESPER_CACHE", str(tmp_path_factory.mktemp("curves")))
        yield


@pytest.fixture(scope="module")
def index() -> Index:
    return load_index()


def plan(index: Index, policy: str = "lstm-v2", options: list[str] = NARROW, **said) -> Plan:
    recipes = load_recipes(pathlib.Path(__file__).parents[2] / "registry.toml")
    said = {"slots": "3", "envs": 2, "updates": 3, "device": "cpu", **said}
    return make_plan(PlanRequest(policy=policy, options=options, **said), index, recipes)


def train(trainer: Trainer, updates: int) -> list[Update]:
    return list(trainer.run(updates))


@pytest.mark.parametrize(
    ("options", "uses"),
    [
        (["loss.child_baseline=1.0", "train.num_minibatches=2", "network.lstm_layers=2"], {}),
        ([], {"features": "flat"}),
    ],
)
def test_it_trains(index: Index, options: list[str], uses: dict[str, str]) -> None:
    trainer = open_session(plan(index, options=NARROW + options, uses=uses), index)
    before = {name: p.detach().clone() for name, p in trainer.policy.named_parameters()}
    updates = train(trainer, 2)
    assert [u.environment_steps for u in updates] == [8, 16]
    for update in updates:
        numbers = [value for value in update.metrics.values() if value is not None]
        assert all(isinstance(value, float) and math.isfinite(value) for value in numbers)
        assert update.metrics["ratio_at_start"] == pytest.approx(1.0, abs=0 if not options else 1e-5)
        assert update.metrics["behaviour_log_prob_gap"] < 1e-4
        for name in ("return", "gain", "committed_accuracy", "static_accuracy", "full_accuracy", "kl", "entropy/op"):
            assert update.metrics[name] is not None, name
    still = [n for n, p in trainer.policy.named_parameters() if torch.equal(before[n], p)]
    # Heads below the operation rest while no operation that asks for them was taken and could have been another.
    assert not [name for name in still if "_head" not in name and "embedding" not in name], still


@pytest.mark.parametrize(("envs", "epochs"), [(65536, 100000), (2, 4)])
def test_a_rollout_beyond_memory_is_refused_before_anything_is_built(
    index: Index, monkeypatch: pytest.MonkeyPatch, envs: int, epochs: int
) -> None:
    made = plan(index, "lstm-v1", TINY[1:], envs=envs, epochs=epochs)
    monkeypatch.setattr("esper_core.learning.session.build_parts", lambda *_: pytest.fail("something was built"))
    monkeypatch.setattr("esper_core.system.memory.memory_left", lambda _: 1000)
    with pytest.raises(ConfigError, match=f"The {epochs} steps of {envs} environments .* need .* 1000 bytes are left"):
        open_session(made, index)


def test_the_bytes_of_a_rollout_are_counted_without_allocating_it(index: Index) -> None:
    known = describe_plan(plan(index), index)
    real, imagined = (
        Rollout(known.horizon, 2, known.actions, known.feature_schema, torch.device(device))
        for device in ("cpu", "meta")
    )
    rows = known.horizon * 2 * 4
    assert imagined.nbytes == real.nbytes > rows * known.feature_schema.dim


def test_threads_within_an_operation_are_the_plans(index: Index) -> None:
    torch.set_num_threads(2)
    open_session(plan(index), index)
    assert torch.get_num_threads() == 1
    open_session(plan(index, threads=3), index)
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)


@pytest.mark.parametrize(("runtime", "minibatches"), [("loop", 1), ("fused", 2)])
def test_it_trains_in_bf16(index: Index, runtime: str, minibatches: int) -> None:
    options = [*NARROW, f"environment.runtime={runtime}", f"train.num_minibatches={minibatches}"]
    trainer = open_session(plan(index, options=options, precision="bf16"), index)
    assert trainer.environment.runtime.precision == trainer.policy.precision == "bf16"
    for update in train(trainer, 2):
        numbers = [value for value in update.metrics.values() if value is not None]
        assert all(isinstance(value, float) and math.isfinite(value) for value in numbers)
        # A minibatch is multiplied in other blocks than the whole, so what is rounded to bf16 may fall otherwise.
        assert update.metrics["ratio_at_start"] == pytest.approx(1.0, abs=0 if minibatches == 1 else 0.05)
        assert update.metrics["behaviour_log_prob_gap"] < 0.05
    assert {p.dtype for p in trainer.policy.parameters()} == {torch.float32}
    assert {moment.dtype for moment in trainer.state().tensors["optimiser"].values()} == {torch.float32}


@pytest.mark.filterwarnings("ignore:.*to a meta parameter:UserWarning")
def test_an_update_on_a_gpu_that_is_not_there(index: Index) -> None:
    """Every tensor on its way from the hosts to the update and into a checkpoint is where it must be."""
    options = [*NARROW, "train.num_minibatches=2", "environment.max_grad_norm=1.0"]
    with FakeDevice() as device:
        trainer = open_session(plan(index, options=options, device=device.name), index)
        assert {p.device.type for p in trainer.policy.parameters()} == {device.name}
        (update,) = train(trainer, 1)
        state = trainer.state()
    # All random streams are the CPU's, so a run may go on anywhere.
    elsewhere = open_session(plan(index, options=options), index)
    elsewhere.load_state(state)
    assert train(elsewhere, 2)[0].index == 2
    assert update.index == 1 and device.crossings
    assert {t.device.type for table in state.tensors.values() for t in table.values()} == {"cpu"}


def test_the_discount_of_the_trainer_is_the_environments(index: Index) -> None:
    trainer = open_session(plan(index, options=[*NARROW, "train.gamma=0.9"]), index)
    assert trainer.config.gamma == trainer.environment.gamma == 0.9
