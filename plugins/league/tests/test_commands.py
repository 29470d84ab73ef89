"""`esper league …` as users write it, on the reference world and, with torch out of reach, on echelon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from esper_core.cli.app import run as esper
from esper_core.composition.recipes import Recipes
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_league import League
from plugins.league.tests.conftest import DUEL, MakeRun, commander, enter, play
from tests.command import environment

Said = Callable[..., Any]

USED = [
    word for kind in ("masks", "features", "network", "critic", "loss") for word in ("--use", f"{kind}={DUEL[kind]}")
]

LISTED = """
from esper_core.cli.app import run
for words in (
    ("create", "arena", "--environment", "echelon"), ("add", "arena", "--rule", "lieutenant"), ("table", "arena"),
    ("show", "arena", "lieutenant"), ("promote", "arena"), ("retire", "arena", "--dry-run"),
):
    assert run(["league", *words]) == 0, words
"""


@pytest.fixture
def said(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Return a function that runs a command in this process and returns its JSON, or with text=True what it printed."""
    monkeypatch.chdir(tmp_path)
    for name in ("create", "add", "table", "show"):
        command = import_module(f"esper_league.commands.{name}")
        monkeypatch.setattr(command, "load_installed", lambda *_: (index, Recipes()))

    def call(*words: str, text: bool = False) -> Any:
        assert esper(["league", *words, *([] if text else ["--json"])]) == 0
        captured = capsys.readouterr()
        return captured.out + captured.err if text else json.loads(captured.out)

    return call


def test_the_life_of_a_league(said: Said, run: RunDirectory, make_run: MakeRun) -> None:
    game = said("create", "arena", "--environment", DUEL["environment"], *USED)["game"]
    assert (game["sides"], game["options"]) == (["home", "away"], {"epochs": 6, "players": 2})
    assert "Nobody plays in arena yet" in said("table", "arena", text=True)
    veteran = said("add", "arena", str(run.path), "--name", "veteran")
    assert (veteran["kind"], veteran["new"], veteran["source"]) == ("candidate", True, f"{run.path}@1")
    assert veteran["meta"]["run"] == str(run.path)
    again = said("add", "arena", str(run.path), "--name", "rookie", text=True)
    assert "was in arena already, as a candidate" in again and "keeps its name, veteran: --name rookie" in again
    assert said("add", "arena", make_run(seed=5).path.name, "--out", str(run.path.parent), "--at", "1", "--name", "b")
    assert said("add", "arena", "--rule", "random")["kind"] == "rule"
    with League.open("arena") as league:
        ids = {entry.name: entry.id for entry in league.entries()}
        play(league, *[(ids["veteran"], ids["random"], 1.0)] * 3, (ids["b"], ids["veteran"], 0.0))
    assert "4 matches are not rated yet: esper league rate arena" in said("table", "arena", text=True)
    rated = said("rate", "arena")
    assert (rated["period"], rated["matches"]) == (1, 4) and rated["entries"][0]["name"] == "veteran"
    assert [entry["name"] for entry in said("promote", "arena")["promoted"]] == ["veteran", "b"]
    retire = ("retire", "arena", "--keep-top", "1", "--min-games", "1")
    assert "b would be retired" in said(*retire, "--dry-run", text=True)
    assert [entry["name"] for entry in said(*retire, "--dry-run")["would_retire"]] == ["b"]
    assert [(entry["name"], bool(entry["retired_at"])) for entry in said(*retire)["retired"]] == [("b", True)]
    table = said("table", "arena")
    assert [(e["name"], e["kind"], e["points"]) for e in table["entries"]] == [
        *(("veteran", "commander", 4.0), ("random", "rule", 0.0), ("b", "retired", 0.0))
    ]
    assert said("reinstate", "arena", "b")["kind"] == "commander"
    shown = said("show", "arena", "b")
    assert [event["what"] for event in shown["happenings"]] == ["added", "promoted", "retired", "reinstated"]
    assert shown["opponents"] == [{"opponent": "veteran", "points": 0.0, "games": 1}]
    assert [past["period"] for past in shown["history"]] == [1]
    text = said("show", "arena", "veteran", text=True)
    assert " ".join(text.split()).count("random 100% 3") == 1 and "promoted  rank 1, of 2, rating" in text


def test_a_table_tells_what_is_broken_and_what_is_not_transitive(
    said: Said, arena: League, index: Index, run: RunDirectory
) -> None:
    entry = arena.add_run(run, index, name="hurt").entry
    (arena.weights(entry) / "policy.safetensors").write_bytes(b"")
    enter(arena, *(commander(name) for name in ("rock", "paper", "scissors")))
    for first, pair in enumerate((("rock", "scissors"), ("scissors", "paper"), ("paper", "rock"))):
        play(arena, *[(*pair, 1.0)] * 5, first=10 * first)
    text = said("table", "arena", text=True)
    assert "hurt is broken and does not play" in text and "policy.safetensors is damaged" in text
    assert "not transitive" in text and "rock > scissors > paper > rock" in text
    assert said("table", "arena")["cyclic_triples"] == [["rock", "scissors", "paper"]]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("table", "nowhere"), 2, "nowhere is not a league: it has no league.sqlite."),
        (("rate", "arena"), 2, "No match was played in arena since the last rating period."),
        (("add", "arena"), 2, "Nobody is named."),
        (("add", "arena", "x", "--rule", "random"), 2, "Both a run and a rule are named."),
        (("add", "arena", "missing"), 2, "There is no run 'missing' in runs."),
        (("show", "arena", "random"), 2, "There is no entry 'random' in arena."),
        (("reinstate", "arena", "random"), 2, "There is no entry 'random' in arena."),
        (("create", "arena", "--environment", "growht"), 2, "No environment named 'growht'."),
        (("create", "other", "--environment", "lamps"), 2, "does not have two sides"),
        (
            ("create", "other", "--environment", "duel", *USED, "--slots", "2"),
            2,
            "has no slots, so --slots says nothing.",
        ),
        (("create", "other", "--environment", "duel", *USED, "-o", "train.gamma=1"), 2, "-o train.gamma says nothing"),
        (("create", "note.txt", "--environment", "duel", *USED), 2, "note.txt is a file, and a league is a directory"),
        (("table", "note.txt"), 2, "note.txt is a file, and a league is a directory."),
        (("table", "arena/league.sqlite"), 2, "Name its directory: arena."),
        (("tabel", "arena"), 2, "There is no command 'league tabel'. Did you mean 'table'?"),
    ],
)
def test_mistakes(
    said: Said, arena: League, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], status: int, message: str
) -> None:
    Path("note.txt").touch()
    assert esper(["league", *words]) == status and message in capsys.readouterr().err


def test_no_command_that_lists_imports_torch(tmp_path: Path) -> None:
    light = tmp_path / "light"
    light.mkdir()
    (light / "torch.py").write_text("raise ImportError('torch must not be imported here')\n")
    path = os.pathsep.join([str(light), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", LISTED],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=path),
    )
    assert done.returncode == 0, done.stderr
