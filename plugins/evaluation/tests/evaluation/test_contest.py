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
import torch

from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import describe_plan
from esper_core.contracts.errors import PluginError, UserError
from esper_core.registry import sources
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_evaluation.arms import Arm, choose_arms
from esper_evaluation.contest import Contest, Played
from esper_evaluation.entrants import Entrant, choose_entrants
from esper_testing import legality
from esper_testing.reference import learned
from esper_testing.reference.environment import HELD_OUT, Lamps

ALL = ("static", "random", "policy", "policy-greedy", "random-matched", "best-fixed", "replay", "selector")
INSTANCES, BATCHES, DRAWS = 5, 4, 2


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

    def held(*names: str, instances=INSTANCES, among=None, envs=None, batches=BATCHES) -> Played:
        among = among or entrants
        contest = Contest(among, index, envs=envs)
        try:
            arms = arms_of(index, among, names or None)
            draws = DRAWS * any(arm.name == "selector" for arm in arms)
            return contest.run(arms, instances, batches, lambda *_: None, draws=draws)
        finally:
            contest.close(print)

    return held


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
    assert len(set(keys)) == len(keys) == 4 * 2 * INSTANCES + 4 * INSTANCES
    assert played.played == len(keys) + BATCHES * 3 + 2 * DRAWS * 3
    assert json.loads((played.folder / "about.json").read_text())["slots"] == ["r0c0", "r0c1"]


def test_more_instances_and_more_arms_play_only_what_is_new(hold: Hold, begun: list[int]) -> None:
    hold("static", "policy", instances=3)
    begun.clear()
    more = hold("static", "random", instances=4)
    assert more.played == 1 + 4 and set(begun) == {HELD_OUT + i for i in range(4)}
    entries = lines(more)
    assert len(entries) == 3 + 6 + 5 and entries[-5:][0]["instance"] == HELD_OUT + 3


def test_no_result_depends_on_how_many_are_played_side_by_side(hold: Hold) -> None:
    arms = [arm for arm in ALL if arm not in ("best-fixed", "selector")]
    several = hold(*arms)
    shutil.rmtree(several.folder)
    for envs in (1, 7):
        other = hold(*arms, envs=envs)
        assert other.folder == several.folder and other.played == several.played
        for arm in arms:
            np.testing.assert_equal(dict(other.values[arm]), dict(several.values[arm]))
        shutil.rmtree(other.folder)


def test_another_checkpoint_is_played_afresh(hold: Hold, copies: list[RunDirectory]) -> None:
    hold("policy", "static")
    earlier = choose_entrants(copies, "1")
    assert hold("policy", "static", among=earlier).played == 2 * INSTANCES
    assert hold("policy", "static").played == 0


def test_what_was_played_under_other_circumstances_is_named_and_played_again(
    hold: Hold, index: Index, entrants: tuple[Entrant, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels stand for whatever an environment says that no plan does."""

    def set_aside() -> str:
        contest = Contest(entrants, index)
        contest.close(print)
        return "".join(contest.notes)

    assert set_aside() == "", "there is nothing yet"
    before = hold("static", "policy")
    assert set_aside() == ""
    about = before.folder / "about.json"
    known = about.read_text()
    monkeypatch.setattr(Lamps, "circumstances", lambda self: {"kernels": "torch"}, raising=False)
    assert str(before.folder) in set_aside() and "kernels was nothing and is torch" in set_aside()
    about.write_text("[" * 100_000)
    assert "about.json cannot be read" in set_aside()
    about.write_text(known)
    after = hold("static", "policy")
    assert after.folder != before.folder and after.played == before.played > 0
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


def failing(self: Any, *_: Any) -> Any:
    raise ZeroDivisionError("no")


def undefined(self: Lamps) -> dict[str, torch.Tensor]:
    return dict.fromkeys(("right", "lit"), torch.full((self.num_envs,), math.nan, dtype=torch.float64))


@pytest.mark.parametrize(
    ("target", "broken", "says"),
    [
        ("esper_testing.reference.describe.OUTCOMES", (), "cannot be evaluated: its description names no outcomes"),
        (
            *("esper_testing.reference.environment.Lamps.outcomes", undefined),
            r"environment 'lamps' \(.*\) breaks its contract: its outcome 'right' is",
        ),
        (
            *("esper_evaluation.rules.Static.__call__", failing),
            r"rule 'static' \(esper-evaluation .*\) failed while choosing actions: Zero",
        ),
    ],
)
def test_what_fails_is_named(hold: Hold, target: str, broken: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, broken)
    with pytest.raises((PluginError, UserError), match=says):
        hold("static")


def test_features_that_remember_go_on_from_the_checkpoint_in_every_episode(
    make_run: Any, hold: Hold, monkeypatch: pytest.MonkeyPatch
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
    hold("policy", instances=4, among=entrants)
    assert sorted(begun) == sorted(4 * [remembered + step for step in range(1, 7)])


def test_a_contest_of_a_world_without_operations(make_run: Any, index: Index, hold: Hold) -> None:
    """No root head: what lives on operations is no arm there."""
    entrants = choose_entrants([make_run(options=("environment.layout=flat",))], "last")
    own = [arm.name for arm in arms_of(index, entrants) if arm.rule is None]
    assert own == ["policy", "policy-greedy", "best-fixed", "selector", "replay"]
    everyone = (*own, "static", "random")
    assert set(hold(*everyone, instances=3, batches=2, among=entrants).values) == set(everyone)
