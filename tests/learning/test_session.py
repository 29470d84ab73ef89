"""From a plan to a trainer, with the installed plugins and real hosts: every wire between them carries something."""

from __future__ import annotations

import math
import pathlib

import pytest
import torch

from esper_core.learning.session import open_session
from esper_core.learning.trainer import Trainer, Update
from esper_core.registry.build import build_parts
from esper_core.registry.index import Index, load_index
from esper_core.registry.plan import Plan, PlanRequest, make_plan
from esper_core.registry.recipes import load_recipes

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


def told(updates: list[Update]) -> list[tuple]:
    return [(u.index, u.environment_steps, u.metrics, u.events) for u in updates]


@pytest.mark.parametrize(
    ("policy", "slots", "parameters"),
    [("lstm-v2", "5", 3_596_900), ("lstm-v2", "3", 3_561_570), ("lstm-v1", "5", 235_684), ("lstm-v1", "3", 226_850)],
)
def test_a_policy_has_exactly_these_parameters(index: Index, policy: str, slots: str, parameters: int) -> None:
    parts = build_parts(plan(index, policy, TINY, slots=slots), index, only=["network", "critic"])
    assert sum(p.numel() for part in parts.values() for p in part.parameters()) == parameters


@pytest.mark.parametrize(
    ("policy", "options", "uses"),
    [
        ("lstm-v2", [], {}),
        ("lstm-v1", [], {}),
        ("lstm-v2", ["critic.baseline=sampled", "loss.ratio_mode=joint"], {}),
        ("lstm-v2", ["loss.child_baseline=1.0", "train.minibatches=2", "network.lstm_layers=2"], {}),
        ("lstm-v2", ["train.normalise_returns=false"], {"features": "flat"}),
    ],
    ids=["lstm-v2", "lstm-v1", "sampled-joint", "child-baseline-minibatches", "flat"],
)
def test_it_trains(index: Index, policy: str, options: list[str], uses: dict[str, str]) -> None:
    trainer = open_session(plan(index, policy, NARROW + options, uses=uses), index)
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


def test_the_same_seed_gives_the_same_run_whatever_was_drawn_before(index: Index) -> None:
    first = told(train(open_session(plan(index, seed=3), index), 2))
    torch.rand(7)
    assert told(train(open_session(plan(index, seed=3), index), 2)) == first
    assert told(train(open_session(plan(index, seed=4), index), 2)) != first


def test_going_on_from_a_state_is_exact(index: Index) -> None:
    whole = open_session(plan(index), index)
    expected = told(train(whole, 3))
    begun = open_session(plan(index), index)
    train(begun, 1)
    state = begun.state()
    resumed = open_session(plan(index), index)
    torch.rand(7)
    resumed.load_state(state)
    assert told(train(resumed, 3)) == expected[1:]
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(value, resumed.policy.state_dict()[name]), name


def test_one_thread_works_within_an_operation(index: Index) -> None:
    torch.set_num_threads(2)
    open_session(plan(index), index)
    assert torch.get_num_threads() == 1


def test_torchs_own_random_numbers_start_from_the_seed(index: Index) -> None:
    drawn = []
    for seed in (1, 1, 2):
        open_session(plan(index, seed=seed), index)
        drawn.append(float(torch.rand(1)))
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_discount_of_the_trainer_is_the_environments(index: Index) -> None:
    trainer = open_session(plan(index, options=[*NARROW, "train.gamma=0.9"]), index)
    assert trainer.config.gamma == trainer.environment.gamma == 0.9
