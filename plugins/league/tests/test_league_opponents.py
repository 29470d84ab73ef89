"""Opponents from a league: who is met, what comes of it, and that a run goes on with those that would have come next.

The game is rock, paper, scissors; rollouts end in the middle of matches.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from esper_core.api.beginning import plan_from
from esper_core.api.training import begin_run, resume_run
from esper_core.api.viewing import Callbacks
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import ConfigError, EsperError, UserError
from esper_core.contracts.sides import MATCH
from esper_core.learning.session import open_session
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import list_checkpoints
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import read_header
from esper_core.runs.resume import find_resumption
from esper_league import League
from esper_league.game import LeagueMismatch
from esper_league.opponents import SELF
from esper_league.store import Store
from esper_testing.reference.plugin import REFERENCES, with_references

UPDATES = 7
DUEL = {**REFERENCES, "environment": "esper-reference:duel", "masks": "esper-reference:duel"}
Made = Callable[..., Plan]


@pytest.fixture(scope="module")
def index() -> Index:
    return with_references(load_index(only=("league",)))


@pytest.fixture(scope="module")
def planned(index: Index) -> Made:
    """Return a function that plans a policy for the game, against those of a league where one is named."""

    def plan(league: Path | None = None, *options: str, seed: int = 3, updates: int = UPDATES) -> Plan:
        said = ["environment.epochs=5", "environment.players=1", *options]
        said = said if league is None else [f'opponents.dir="{league}"', *said]
        request = PlanRequest(
            policy=REFERENCES["network"],
            slots="1",
            uses=DUEL,
            wanted=() if league is None else ("opponents",),
            options=said,
            envs=4,
            device="cpu",
            seed=seed,
            updates=updates,
        )
        return make_plan(request, index)

    return plan


def train(plan: Plan, index: Index, out: Path, on_step: Any = None) -> RunDirectory:
    return begin_run(plan, index, [], out, Callbacks.view(None, on_step, bar=False))[0]


@pytest.fixture(scope="module")
def begun(planned: Made, index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A league of three policies of one update each; copy it before use."""
    folder = tmp_path_factory.mktemp("league")
    with League.create(folder / "league", planned(), index) as league:
        for seed in (10, 11, 12):
            run = train(planned(seed=seed, updates=1), index, folder / "runs")
            league.add_run(run, index, name=f"policy{seed}")
    return folder / "league"


@pytest.fixture
def league(begun: Path, tmp_path: Path) -> Path:
    return shutil.copytree(begun, tmp_path / "league")


def told(run: RunDirectory) -> str:
    """Return everything that a run wrote and its weights, without its own name and what depends on the clock."""
    lines = [{key: value for key, value in line.items() if key != "timing"} for line in run.metrics()]
    weights = sorted(run.checkpoints.iterdir())[-1] / "policy.safetensors"
    text = json.dumps([lines, run.events()]).replace(f"-{run.name.rpartition('-')[2]}@", "-RUN@")
    return text + weights.read_bytes().hex()


def added(league: Path) -> list[str]:
    with League.open(league) as opened:
        return [entry.id for entry in opened.entries()]


def test_a_run_that_has_weights_to_begin_with_meets_whom_it_is_told_to(
    planned: Made, index: Index, league: Path, tmp_path: Path
) -> None:
    first = train(planned(updates=1), index, tmp_path / "runs")

    def beginning(run: RunDirectory, **said: Any) -> Plan:
        return plan_from(read_header(list_checkpoints(run)[-1]), PlanRequest(**said), index, Recipes())

    plan = beginning(first, wanted=("opponents",), options=[f'opponents.dir="{league}"'], updates=4)
    assert plan.component("environment") == planned().component("environment") and plan.envs == 4
    run = train(plan, index, tmp_path / "more")
    met = {event["opponent"] for event in run.events() if event["type"] == MATCH}
    assert run.plan.init is not None and run.plan.init.run == str(first.path) and met
    assert "opponents" not in beginning(run).kinds, "nobody is met unasked"


class Killed(Exception):
    """The process is gone in the middle of a rollout."""


def test_a_run_that_was_killed_goes_on_with_the_very_same_opponents(
    planned: Made, index: Index, begun: Path, tmp_path: Path
) -> None:
    one, two = (shutil.copytree(begun, tmp_path / name) for name in ("one", "two"))
    options = ("opponents.candidate_every=2", "opponents.self_play=0.3")
    whole = train(planned(one, *options), index, tmp_path / "runs")

    def kill(progress: Any) -> None:
        if (progress.update, progress.phase, progress.step) == (6, "collect", 1):
            raise Killed

    with pytest.raises(Killed):
        train(planned(two, *options), index, tmp_path / "runs", kill)
    (stopped,) = (run for run in (tmp_path / "runs").iterdir() if run.name != whole.name)
    run = RunDirectory.open(stopped)
    resume_run(find_resumption(run, index, at=5, updates=None), index, [], Callbacks.view(None, None, bar=False))
    assert told(run) == told(whole)
    assert added(one) == added(two) and len(added(one)) == 3 + UPDATES // 2, "a candidate is added once"
    names = {event["opponent"] for event in run.events() if event["type"] == MATCH}
    assert SELF in names and any(name.startswith("policy") for name in names)
    assert any(f"weight/{REFERENCES['network'].partition(':')[2]}" in key for key in run.metrics()[-1]), (
        "candidates too"
    )


def test_weights_and_matches_are_on_record(planned: Made, index: Index, league: Path, tmp_path: Path) -> None:
    options = ("opponents.matchmaking=uniform", "opponents.self_play=0.25", "opponents.candidate_every=0")
    run = train(planned(league, *options, updates=4), index, tmp_path / "runs")
    events = [event for event in run.events() if event["type"] == "match"]
    for line in run.metrics():
        assert {k: v for k, v in line.items() if k.startswith("weight/")} == {
            **{f"weight/policy{seed}": 0.25 for seed in (10, 11, 12)},
            "weight/(self)": 0.25,
        }
        here = [event for event in events if event["update"] == line["update"]]
        assert sum(v for k, v in line.items() if k.startswith("games/")) == len(here)
        for name in {event["opponent"] for event in here}:
            won = [event["won"] for event in here if event["opponent"] == name]
            assert line[f"won/{name}"] == pytest.approx(sum(won) / len(won))
    assert events and run.metrics()[-1]["learner_rd"] < 350, "matches in training rate the learner"
    assert len(added(league)) == 3, "candidates were not asked for"


def test_a_match_in_progress_goes_on_against_whom_the_league_has_retired(
    planned: Made, index: Index, league: Path
) -> None:
    plan = planned(league, "opponents.self_play=0", "opponents.matchmaking=uniform")
    trainer, again = (open_session(plan, index) for _ in range(2))
    list(trainer.run(1))
    playing = trainer.environment.opponents
    assert playing, "the rollout ended between matches"
    with Store(league / "league.sqlite") as store, store.writing():
        for entry in store.entries():
            if entry.name in playing[:1]:
                store.set_kind(entry.id, "retired", "2026-01-01T00:00:00+00:00")
    (second,) = trainer.run(2)
    again.load_state(trainer.state())
    assert second.metrics[f"weight/{playing[0]}"] == pytest.approx(1 / 3), "it was seen after the first update"
    thirds = [update.metrics for one in (trainer, again) for update in one.run(3)]
    assert thirds[0] == thirds[1] and thirds[0][f"weight/{playing[0]}"] == 0, "no new match draws it"


def test_an_entry_that_cannot_be_loaded_is_left_out(
    planned: Made, index: Index, league: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with League.open(league) as opened:
        (opened.weights(opened.entry("policy11")) / "policy.safetensors").write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING, "esper"):
        (update,) = open_session(planned(league), index).run(1)
    assert "'policy11' is not played against" in caplog.text and "weight/policy11" not in update.metrics
    assert update.metrics["opponents"] == 2
    shutil.rmtree(league / "weights")
    with pytest.raises(UserError, match=r"Nobody in the league .* can be played against") as caught:
        next(open_session(planned(league, "opponents.self_play=0"), index).run(1))
    assert "--self-play 1" in caught.value.hint
    caplog.clear()
    for update in open_session(planned(league, "opponents.self_play=0.5"), index).run(2):
        assert update.metrics["weight/(self)"] == 1
    assert caplog.text.count("the learner plays itself alone, until somebody is added") == 1


def test_what_cannot_be_is_refused_before_anything_is_written(
    planned: Made, index: Index, league: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is not a league"):
        train(planned(tmp_path / "nowhere"), index, tmp_path / "runs")
    with pytest.raises(ConfigError, match="Nothing says which league") as caught:
        train(planned(league, 'opponents.dir=""'), index, tmp_path / "runs")
    assert "--opponents DIR" in caught.value.hint
    with pytest.raises(LeagueMismatch, match=r"environment\.epochs +5 +6"):
        train(planned(league, "environment.epochs=6"), index, tmp_path / "runs")
    train(planned(league, "environment.opponent=rock", updates=1), index, tmp_path / "runs")
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_whoever_plays_the_policy_later_needs_no_league(
    planned: Made, index: Index, league: Path, tmp_path: Path
) -> None:
    from esper_core.api.player import load_player
    from esper_core.runs.checkpoint import choose_checkpoint
    from esper_core.runs.header import read_header

    run = train(planned(league, "opponents.candidate_every=1", updates=1), index, tmp_path / "runs")
    assert len(added(league)) == 4
    again = open_session(planned(league, updates=1), index)  # its own candidate is an opponent like any other
    list(again.run(1))
    shutil.rmtree(league)
    player = load_player(read_header(choose_checkpoint(run, "last")), index)
    player.make_environment(envs=2).close()
    with pytest.raises(EsperError, match="is not a league"):
        open_session(evolve(run.plan, device="cpu"), index)
