"""Playing with other slots than those of training: where weights fit any number, and nowhere else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import esper_core
from esper_core.api import player
from esper_core.cli.app import run
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import CheckpointMismatch, ConfigError, SlotIdError
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import content_digest
from esper_evaluation import evaluating
from esper_evaluation.commands import evaluate as command
from esper_evaluation.entrants import choose_entrants
from esper_testing.reference.plugin import DISTRIBUTION

ARMS = ("--arms", "policy,static", "--instances", "4", "--json")


@pytest.fixture(scope="module")
def trained(make_run: Callable[..., RunDirectory]) -> RunDirectory:
    return make_run(policy=f"{DISTRIBUTION}:any-slots", uses={"network": f"{DISTRIBUTION}:any-slots"}, slots="3")


@pytest.fixture(autouse=True)
def place(trained: RunDirectory, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for module in (command, evaluating, player):
        monkeypatch.setattr(module, "load_installed", lambda *_: (index, Recipes()))
    return Path(shutil.copytree(trained.path, tmp_path / "runs" / "any"))


def test_every_number_of_slots_has_records_of_its_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def evaluated(*more: str) -> dict[str, Any]:
        assert run(["evaluate", "any", *ARMS, *more]) == 0
        said = capsys.readouterr()
        assert "played again" not in said.err
        return dict(json.loads(said.out))

    own, other = evaluated(), evaluated("--slots", "5")
    assert (own["played"], other["played"]) == (8, 8) and own["records"] != other["records"]
    assert (len(own["slots"]), len(other["slots"]), len(other["trained_slots"])) == (3, 5, 3)
    assert json.loads((Path(other["records"]) / "about.json").read_text())["slots"] == other["slots"]
    assert evaluated()["played"] == evaluated("--slots", "5")["played"] == 0
    lit = [{n: e["policy"]["lit"] for n, e in (("3", own["arms"]), ("5", other["arms"]))}]
    assert lit[0]["3"] != lit[0]["5"]


def test_people_are_told_what_was_played_and_what_was_trained(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "any", *ARMS[:-1], "--slots", "r0c0,r0c4"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "All arms played with 2 slots (r0c0, r0c4); the policy was trained with 3 slots (r0c0, r0c1, r0c2)." in said


def test_a_player_acts_in_other_slots(place: Path) -> None:
    loaded = esper_core.load(place, slots=8)
    environment = loaded.make_environment(envs=2)
    state, _ = environment.reset(seed=0)
    loaded.reset(2)
    assert loaded.act(state)["slot"].shape == (2,) and state["lit"].shape == (2, 8)
    environment.close()
    with pytest.raises(SlotIdError, match="several numbers"):
        esper_core.load(place, slots=[3, 5])
    with pytest.raises(ConfigError, match="slots cannot be"):
        esper_core.load(place, slots=2.5)  # type: ignore[arg-type]


def test_runs_that_began_with_weights_of_their_own_are_seeds_of_one_policy(
    runs: list[RunDirectory], tmp_path: Path
) -> None:
    copies = [RunDirectory.open(shutil.copytree(one.path, tmp_path / one.name)) for one in runs]
    for copied in copies:
        file = copied.checkpoints / "000002" / "state.json"
        content = json.loads(file.read_text())
        content["plan"]["init"] = {"run": f"/first/{copied.name}", "update": 1, "digest": copied.name}
        file.write_text(json.dumps({**content, "digest": content_digest(content)}))
    assert [entrant.seed for entrant in choose_entrants(copies, "last")] == [0, 1]


def test_weights_for_one_number_are_refused_with_the_table(
    runs: list[RunDirectory], index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(runs[0].path), "--slots", "5"]) == 4
    said = capsys.readouterr().err
    assert "slots (2 → 5)" in said and "feature schema" in said and "not portable" in said
    with pytest.raises(CheckpointMismatch, match="slots \\(2 → 5\\)"):
        esper_core.load(runs[0].path, slots=5)
