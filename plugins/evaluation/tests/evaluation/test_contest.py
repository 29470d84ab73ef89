"""Contests on the reference world: who plays what, what is kept, and what is played again."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import describe_plan
from esper_core.contracts.errors import PluginError, UserError
from esper_core.registry import sources
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_evaluation import contest as contest_module
from esper_evaluation.arms import Arm, choose_arms
from esper_evaluation.contest import Contest, Played
from esper_evaluation.entrants import Entrant, choose_entrants
from esper_testing import legality
from esper_testing.reference import learned
from esper_testing.reference.environment import HELD_OUT, Lamps

ALL = ("static", "random", "policy", "policy-greedy", "random-matched", "best-fixed", "replay")
INSTANCES, BATCHES = 5, 4


@pytest.fixture
def copies(runs: list[RunDirectory], tmp_path: Path) -> list[RunDirectory]:
    return [RunDirectory.open(shutil.copytree(run.path, tmp_path / run.name)) for run in runs]


@pytest.fixture
def entrants(copies: list[RunDirectory]) -> tuple[Entrant, ...]:
    return choose_entrants(copies, "last")


def arms_of(index: Index, entrants: tuple[Entrant, ...], names: Any = None) -> tuple[Arm, ...]:
    plan = entrants[0].plan
    return choose_arms(names, index, describe_plan(plan, index), find_planned(index, plan.component("environment")))


Hold = Callable[..., Played]


@pytest.fixture
def hold(index: Index, entrants: tuple[Entrant, ...]) -> Hold:
    """Return a function that holds a contest of some arms."""

    def held(
        *names: str,
        instances: int = INSTANCES,
        among: tuple[Entrant, ...] | None = None,
        envs: int | None = None,
        batches: int = BATCHES,
        on_progress: Any = lambda *_: None,
    ) -> Played:
        among = among or entrants
        contest = Contest(among, index, envs=envs)
        try:
            return contest.run(arms_of(index, among, names or None), instances, batches, on_progress)
        finally:
            contest.close(print)

    return held


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The instances of every batch that is played."""
    batches: list[list[int]] = []
    play = contest_module.play

    def counting(environment: Any, *arguments: Any, **said: Any) -> Any:
        batches.append(said["options"]["instances"])
        return play(environment, *arguments, **said)

    monkeypatch.setattr(contest_module, "play", counting)
    return batches


def equal(one: Played, two: Played, arm: str) -> bool:
    return all(np.array_equal(one.values[arm][name], two.values[arm][name]) for name in one.values[arm])


def lines(played: Played) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (played.folder / "episodes.jsonl").read_text().splitlines()]


def test_every_arm_plays_every_instance_once_for_each_seed(hold: Hold) -> None:
    played = hold()
    assert set(played.values) == set(ALL), "plateau reads what lamps do not publish"
    shapes = {arm: values["right"].shape for arm, values in played.values.items()}
    learned = {"policy", "policy-greedy", "random-matched", "replay"}
    assert shapes == {arm: (2 if arm in learned else 1, INSTANCES) for arm in ALL}
    assert played.instances == list(range(HELD_OUT, HELD_OUT + INSTANCES)) and played.seeds == [0, 1]
    entries = lines(played)
    keys = [(entry["arm"], entry["seed"], entry["instance"]) for entry in entries]
    assert len(set(keys)) == len(keys) == 4 * 2 * INSTANCES + 3 * INSTANCES
    assert played.played == len(keys) + BATCHES * 3
    assert json.loads((played.folder / "about.json").read_text())["slots"] == ["r0c0", "r0c1"]


def test_more_instances_and_more_arms_play_only_what_is_new(hold: Hold, counted: list[list[int]]) -> None:
    hold("static", "policy", instances=3)
    counted.clear()
    more = hold("static", "random", instances=4)
    assert more.played == 1 + 4
    assert {i for batch in counted for i in batch} == {HELD_OUT + i for i in range(4)}
    entries = lines(more)
    assert len(entries) == 3 + 6 + 5 and entries[-5:][0]["instance"] == HELD_OUT + 3


def test_no_result_depends_on_how_many_are_played_side_by_side(
    hold: Hold, entrants: tuple[Entrant, ...], index: Index
) -> None:
    arms = [arm for arm in ALL if arm != "best-fixed"]
    several = hold(*arms)
    shutil.rmtree(several.folder)
    for envs in (1, 7):
        other = hold(*arms, envs=envs)
        assert other.folder == several.folder and other.played == several.played
        assert all(equal(several, other, arm) for arm in arms)
        shutil.rmtree(other.folder)


def test_another_checkpoint_is_played_afresh(hold: Hold, copies: list[RunDirectory]) -> None:
    hold("policy", "static")
    earlier = choose_entrants(copies, "1")
    assert hold("policy", "static", among=earlier).played == 2 * INSTANCES
    assert hold("policy", "static").played == 0


def test_what_was_played_under_other_circumstances_is_played_again(
    hold: Hold, counted: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels stand for whatever an environment says that no plan does."""
    before = hold("static", "policy")
    monkeypatch.setattr(Lamps, "circumstances", lambda self: {"kernels": "torch"}, raising=False)
    count = len(counted)
    after = hold("static", "policy")
    assert len(counted) > count and after.folder != before.folder and after.played == before.played > 0
    assert hold("static", "policy").played == 0
    monkeypatch.undo()
    assert hold("static", "policy").folder == before.folder


def test_episodes_depend_on_the_code_of_esper(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hold("static")
    read = Path.read_bytes
    changed = Path(legality.__file__)
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path == changed else b""))
    sources.forget()
    after = hold("static")
    monkeypatch.undo()
    sources.forget()
    assert after.played == before.played and after.folder != before.folder
    assert hold("static").played == 0


def test_records_that_are_set_aside_are_named_with_what_has_changed(
    hold: Hold, index: Index, entrants: tuple[Entrant, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> str:
        contest = Contest(entrants, index)
        contest.close(print)
        return contest.set_aside

    assert said() == "", "there is nothing yet"
    played = hold("static")
    assert said() == ""
    monkeypatch.setattr(Lamps, "circumstances", lambda self: {"kernels": "torch"}, raising=False)
    assert str(played.folder) in said() and "kernels was nothing and is torch" in said()
    (played.folder / "about.json").write_text("[" * 100_000)
    assert "about.json cannot be read" in said()


def test_matched_play_has_the_policys_operations(hold: Hold) -> None:
    played = hold("policy", "random-matched", instances=8)
    ops = {(e["arm"], e["seed"], e["instance"]): e["ops"] for e in lines(played)}
    shuffled = 0
    for (arm, seed, instance), mine in ops.items():
        if arm != "random-matched":
            continue
        policys = ops["policy", seed, instance]
        for op in (1, 2):
            assert mine.count(op) <= policys.count(op), "an operation may be deferred to the end, never added"
        shuffled += mine != policys
    assert shuffled > 8


def test_the_search_is_kept_and_spends_what_it_may(hold: Hold) -> None:
    played = hold("best-fixed", batches=6)
    assert played.found is not None and played.found.searched == 18 and played.played == 18 + INSTANCES
    assert len((played.folder / "search.jsonl").read_text().splitlines()) == 6
    assert hold("best-fixed", batches=6).played == 0
    fewer = hold("best-fixed", batches=2)
    assert fewer.played == 6 + INSTANCES, "another budget is another arm"
    assert hold("best-fixed", batches=6).found == played.found


def test_an_environment_that_says_nothing_of_outcomes_is_refused(
    entrants: tuple[Entrant, ...], index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    from esper_testing.reference import describe

    monkeypatch.setattr(describe, "OUTCOMES", ())
    with pytest.raises(UserError, match="'lamps' cannot be evaluated: its description names no outcomes"):
        Contest(entrants, index)


def test_outcomes_that_are_not_what_was_described(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = Lamps.outcomes
    monkeypatch.setattr(Lamps, "outcomes", lambda self: outcomes(self) | {"lit": math.nan * outcomes(self)["lit"]})
    with pytest.raises(PluginError, match=r"environment 'lamps' \(.*\) breaks its contract: its outcome 'lit' is"):
        hold("static")


def test_a_rule_that_fails_is_named(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    from esper_growth.rules import Static

    def fail(self: Any, *_: Any) -> Any:
        raise ZeroDivisionError("no")

    monkeypatch.setattr(Static, "__call__", fail)
    with pytest.raises(PluginError, match=r"rule 'static' \(esper-growth .*\) failed while choosing actions: Zero"):
        hold("static")


def test_features_that_remember_go_on_from_the_checkpoint_in_every_episode(
    make_run: Any, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    class Remembering(learned.ReferenceFeatures):
        seen = 0

        def __call__(self, state: Any) -> Any:
            self.seen += 1
            begun.append(self.seen)
            return super().__call__(state)

        def state(self) -> dict[str, Any]:
            return {"seen": self.seen}

        def load_state(self, saved: Any) -> None:
            self.seen = saved["seen"]

    monkeypatch.setattr(learned, "ReferenceFeatures", Remembering)
    entrants = choose_entrants([make_run(seed=11)], "last")
    remembered = entrants[0].header.content["counters"]["parts"]["features"]["seen"]
    assert remembered == len(begun) > 0
    begun.clear()
    contest = Contest(entrants, index)
    contest.run(arms_of(index, entrants, ["policy"]), 4, 1, lambda *_: None)
    contest.close(print)
    assert sorted(begun) == sorted(4 * [remembered + step for step in range(1, 7)])


def test_runs_must_be_seeds_of_one_policy(copies: list[RunDirectory], make_run: Any) -> None:
    other = make_run(seed=2, options=("environment.epochs=5",), envs=2)
    with pytest.raises(UserError, match=r"not seeds of one policy: envs is 3, 2; environment.epochs is 6, 5") as raised:
        choose_entrants([copies[0], other], "last")
    assert "seed is" not in raised.value.message and raised.value.exit_code == 2
    with pytest.raises(UserError, match="have the same seed, 0"):
        choose_entrants([copies[0], copies[0]], "last")


def test_a_contest_of_a_world_without_operations(make_run: Any, index: Index) -> None:
    """No root head: what lives on operations is no arm there."""
    run = make_run(options=("environment.layout=flat",))
    entrants = choose_entrants([run], "last")
    own = [arm.name for arm in arms_of(index, entrants) if arm.rule is None]
    assert own == ["policy", "policy-greedy", "best-fixed", "replay"]
    contest = Contest(entrants, index)
    played = contest.run(arms_of(index, entrants, own), 3, 2, lambda *_: None)
    contest.close(print)
    assert set(played.values) == set(own)
