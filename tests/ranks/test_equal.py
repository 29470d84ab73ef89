"""Whatever the number of ranks, a run is the same: every byte of its checkpoints, every event, every metric."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper_core.api.training import begin_run, resume_run
from esper_core.api.viewing import Callbacks
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.ranks.launch import Launch
from esper_core.ranks.running import follow
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.runs.directory import RunDirectory
from esper_core.runs.resume import find_resumption
from esper_testing.reference.plugin import REFERENCES, with_references
from tests.cli.resuming import assert_same, only_run
from tests.ranks.launched import ended, launch, trained

TINY = ("--slots", "2", "--epochs", "4", "-o", "network.hidden_dim=16", "-o", "task.train_samples=100")
GROWTH = ("--policy", "lstm-v2", *TINY, "--envs", "4", "--workers", "1")
SHUFFLED = (*GROWTH, "-o", "train.num_minibatches=2", "-o", "environment.instances=3")
TOLD = (
    *(*GROWTH, "-o", "environment.repeats=2", "-o", "train.leave_one_out=true", "-o", "critic.privileged=true"),
    *("-o", 'environment.instance_weights=["digits=0.5"]'),
)
GYM = ("--policy", "mlp", "--environment", "gymnasium", "--envs", "5")
PARTS = (*GYM, "-o", "train.rollout_steps=24", "-o", "train.num_minibatches=2")
WHOLE = (*GYM, "-o", "train.rollout_steps=0", "-o", "environment.horizon=40")
REMEMBERING = ("--policy", "lstm-v1", *GYM[2:], "-o", "train.rollout_steps=24", "-o", "train.bptt_steps=8")
MANY = (*GYM[:4], "--envs", "200", "-o", "train.rollout_steps=8")

ECHELON = (
    *("--policy", "combat-suite", "--envs", "4", "-o", "environment.packs=1", "-o", "train.rollout_steps=24"),
    *("-o", "train.update_epochs=1", "-o", "environment.opponent=charge"),
)

PLANS = {
    "growth": GROWTH,
    "slots given each operation": ("--policy", "lstm-slots", *GROWTH[2:]),
    "minibatches": SHUFFLED,
    "instances in several rows": TOLD,
    "parts of episodes": PARTS,
    "episodes that end early": WHOLE,
    "memory in chunks": REMEMBERING,
    "many rows": MANY,
    "matches": ECHELON,
}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_CACHE", str(shared / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize("words", PLANS.values(), ids=PLANS)
def test_a_run_is_the_same_for_any_number_of_ranks(tmp_path: Path, words: tuple[str, ...]) -> None:
    for count in (1, 2, 3, 4):
        trained(count, tmp_path, *words, "--updates", "3", "--out", str(count))
    for count in (2, 3, 4):
        assert_same(only_run(tmp_path / str(count)), only_run(tmp_path / "1"))


def test_two_ranks_train_what_one_does_and_only_one_speaks(tmp_path: Path) -> None:
    trained(1, tmp_path, *PARTS, "--updates", "2", "--out", "one")
    first, second = trained(2, tmp_path, *PARTS, "--updates", "2", "--out", "two")
    assert_same(only_run(tmp_path / "two"), only_run(tmp_path / "one"))
    assert "update 2/2" in first.said and not second.said
    record = RunDirectory.open(only_run(tmp_path / "two")).record
    assert [rank["capability"] for rank in record["ranks"]] == [record["ranks"][0]["capability"]] * 2
    (timing, _) = (line["timing"]["phases"] for line in RunDirectory.open(only_run(tmp_path / "two")).metrics())
    assert {"broadcast", "gather"} <= set(timing)


@pytest.mark.slow
@pytest.mark.parametrize("words", [GROWTH, PARTS, WHOLE, ECHELON], ids=["growth", "parts", "early", "matches"])
def test_a_run_goes_on_with_another_number_of_ranks(tmp_path: Path, words: tuple[str, ...]) -> None:
    trained(1, tmp_path, *words, "--updates", "4", "--out", "straight")
    for updates, count in (("1", 2), ("2", 3), ("3", 1), ("4", 4)):
        trained(count, tmp_path, *words, "--updates", updates, "--out", "parts", "--resume", "auto")
    parts = only_run(tmp_path / "parts")
    assert_same(parts, only_run(tmp_path / "straight"), planned_shorter=True)
    assert [len(note.get("ranks", ())) for note in RunDirectory.open(parts).record["resumed"]] == [3, 0, 4]


@pytest.mark.slow
def test_a_league_is_met_by_any_number_of_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from esper_core.cli import app

    assert app.run(["league", "create", "arena", "--environment", "echelon", "-o", "environment.packs=1"]) == 0
    for rule in ("charge", "hold"):
        assert app.run(["league", "add", "arena", "--rule", rule]) == 0
    words = (*ECHELON[:-2], "--opponents", "arena", "--self-play", "0.4")
    trained(1, tmp_path, *words, "--updates", "3", "--out", "1")
    for count in (2, 3):
        trained(count, tmp_path, *words, "--updates", "2", "--out", str(count))
        trained(5 - count, tmp_path, *words, "--updates", "3", "--out", str(count), "--resume", "auto")
        assert_same(only_run(tmp_path / str(count)), only_run(tmp_path / "1"), planned_shorter=True)


# Rows of a match, some of which are absent ----------------------------------------------------------------------------


def index() -> Index:
    return with_references(load_index(only=()))


def matches(updates: int) -> Plan:
    uses = {**REFERENCES, "environment": "esper-reference:match", "masks": "esper-reference:match"}
    request = PlanRequest(
        policy=REFERENCES["network"], slots="1", uses=uses, envs=4, device="cpu", seed=3, updates=updates
    )
    return make_plan(request, index())


def lamps(updates: int) -> Plan:
    return make_plan(
        PlanRequest(policy=REFERENCES["network"], slots="2", uses=REFERENCES, envs=4, device="cpu", updates=updates),
        index(),
    )


def train(plan: Plan, count: int, out: Path, run: RunDirectory | None = None) -> RunDirectory:
    """Train a plan, or go on with its run, with so many ranks."""

    def rank(number: int) -> None:
        told, view = Launch.here(), Callbacks.view(None, None, bar=False)
        if told is not None and told.rank:
            assert follow(told, index())
        elif run is None:
            begin_run(plan, index(), [], out, view, told)
        else:
            resume_run(find_resumption(run, index(), at=None, updates=plan.updates), index(), [], view, launch=told)

    told = {} if count > 1 else {"WORLD_SIZE": "1"}
    ranks = launch(count, rank, out.parent / "said", **told)
    statuses = ended(ranks)
    assert not any(statuses), "\n".join(rank.said for rank in ranks)
    return RunDirectory.open(only_run(out))


@pytest.mark.slow
@pytest.mark.parametrize("plan", [matches, lamps])
def test_rows_that_are_absent_and_an_environment_without_a_state(tmp_path: Path, plan: object) -> None:
    assert callable(plan)
    alone = train(plan(3), 1, tmp_path / "one")
    for count in (2, 3):
        assert_same(train(plan(3), count, tmp_path / str(count)).path, alone.path)
    begun = train(plan(2), 3, tmp_path / "parts")
    train(plan(3), 2, tmp_path / "parts", begun)
    assert_same(begun.path, alone.path, planned_shorter=True)
