"""From a plan to a trainer, with the installed plugins and real hosts: every wire between them carries something."""

from __future__ import annotations

import math

import pytest
import torch

from esper_core.composition.plan import Plan, describe_plan
from esper_core.contracts.errors import ConfigError
from esper_core.learning.rollout import Rollout
from esper_core.learning.session import open_session
from esper_core.learning.trainer import Update
from esper_core.registry.index import Index
from esper_testing.fake_device import FakeDevice
from tests.runs.conftest import MakePlan


def check_update(update: Update, ratio: float, gap: float) -> None:
    numbers = [value for value in update.metrics.values() if value is not None]
    assert all(isinstance(value, float) and math.isfinite(value) for value in numbers)
    assert update.metrics["ratio_at_start"] == pytest.approx(1.0, abs=ratio)
    assert update.metrics["behaviour_log_prob_gap"] < gap
    for name in ("return", "gain", "committed_accuracy", "static_accuracy", "full_accuracy", "kl", "entropy/op"):
        assert update.metrics[name] is not None, name


@pytest.mark.parametrize(
    ("options", "uses"),
    [(["loss.child_baseline=1.0", "train.num_minibatches=2", "network.lstm_layers=2"], {}), ([], {"features": "flat"})],
)
def test_it_trains(plan_for: MakePlan, index: Index, options: list[str], uses: dict[str, str]) -> None:
    trainer = open_session(plan_for(slots="3", options=[*options, "train.gamma=0.9"], uses=uses), index)
    assert trainer.config.gamma == trainer.environment.gamma == 0.9
    before = {name: p.detach().clone() for name, p in trainer.policy.named_parameters()}
    updates = list(trainer.run(2))
    assert [u.environment_steps for u in updates] == [6, 12]
    for update in updates:
        check_update(update, 0 if not options else 1e-5, 1e-4)
    still = [n for n, p in trainer.policy.named_parameters() if torch.equal(before[n], p)]
    # Heads below the operation rest while no operation that asks for them was taken and could have been another.
    assert not [name for name in still if "_head" not in name and "embedding" not in name], still


@pytest.mark.parametrize(("runtime", "minibatches"), [("loop", 1), ("fused", 2)])
def test_it_trains_in_bf16(plan_for: MakePlan, index: Index, runtime: str, minibatches: int) -> None:
    options = [f"environment.runtime={runtime}", f"train.num_minibatches={minibatches}"]
    trainer = open_session(plan_for(options=options, precision="bf16"), index)
    assert trainer.environment.runtime.precision == trainer.policy.precision == "bf16"
    for update in trainer.run(2):
        # A minibatch is multiplied in other blocks than the whole, so what is rounded to bf16 may fall otherwise.
        check_update(update, 0 if minibatches == 1 else 0.05, 0.05)
    assert {p.dtype for p in trainer.policy.parameters()} == {torch.float32}
    assert {moment.dtype for moment in trainer.state().tensors["optimiser"].values()} == {torch.float32}


@pytest.mark.parametrize(("envs", "epochs"), [(65536, 100000), (2, 4)])
def test_a_rollout_beyond_memory_is_refused_before_anything_is_built(
    plan_for: MakePlan, index: Index, monkeypatch: pytest.MonkeyPatch, envs: int, epochs: int
) -> None:
    made = plan_for(options=[f"environment.epochs={epochs}"], envs=envs)
    monkeypatch.setattr("esper_core.learning.session.build_parts", lambda *_: pytest.fail("something was built"))
    monkeypatch.setattr("esper_core.system.memory.memory_left", lambda _: 1000)
    with pytest.raises(ConfigError, match=f"The {epochs} steps of {envs} environments .* need .* 1000 bytes are left"):
        open_session(made, index)


@pytest.mark.parametrize(("chunk", "layers", "fits"), [(0, 64, True), (1, 1, True), (1, 64, False)])
def test_the_states_that_chunks_begin_with_count_too(
    plan_for: MakePlan, index: Index, monkeypatch: pytest.MonkeyPatch, chunk: int, layers: int, fits: bool
) -> None:
    options = ["network.hidden_dim=64", f"network.lstm_layers={layers}", f"train.bptt_steps={chunk}"]
    made = plan_for(options=[*options, "environment.epochs=40"])
    # 64 layers keep 2 · 64 · 64 floats, 32 KiB, per row and chunk: 5 MiB of 2 rows and 40 chunks and of their copy.
    monkeypatch.setattr("esper_core.system.memory.memory_left", lambda _: 4 * 2**20)
    if fits:
        open_session(made, index)
        return
    with pytest.raises(ConfigError, match=r"The 40 steps of 2 environments, in chunks of 1, that .* need 5") as caught:
        open_session(made, index)
    assert "Raise train.bptt_steps: a chunk keeps a state of 32,768 bytes." in caught.value.hint


def test_the_bytes_of_a_rollout_are_counted_without_allocating_it(plan: Plan, index: Index) -> None:
    known = describe_plan(plan, index)
    real, imagined = (
        Rollout(known.horizon, 2, known.actions, known.feature_schema, torch.device(device))
        for device in ("cpu", "meta")
    )
    assert imagined.nbytes == real.nbytes > known.horizon * 2 * 4 * known.feature_schema.dim


def test_threads_within_an_operation_are_the_plans(plan_for: MakePlan, index: Index) -> None:
    for threads in (3, 1):
        open_session(plan_for(threads=threads), index)
        assert torch.get_num_threads() == threads


@pytest.mark.filterwarnings("ignore:.*to a meta parameter:UserWarning")
def test_an_update_on_a_gpu_that_is_not_there(plan_for: MakePlan, index: Index) -> None:
    """Every tensor on its way from the hosts to the update and into a checkpoint is where it must be."""
    options = ["train.num_minibatches=2", "environment.max_grad_norm=1.0"]
    with FakeDevice() as device:
        trainer = open_session(plan_for(options=options, device=device.name), index)
        assert {p.device.type for p in trainer.policy.parameters()} == {device.name}
        (update,) = trainer.run(1)
        state = trainer.state()
    assert update.index == 1 and device.crossings
    assert {t.device.type for table in state.tensors.values() for t in table.values()} == {"cpu"}
    # All random streams are the CPU's, so a run may be resumed anywhere.
    elsewhere = open_session(plan_for(options=options), index)
    elsewhere.load_state(state)
    assert next(elsewhere.run(2)).index == 2
