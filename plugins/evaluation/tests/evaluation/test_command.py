"""`esper evaluate` as users type it, on the reference world."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from esper_core.cli.app import main, run
from esper_core.composition.recipes import Recipes
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_evaluation.commands import evaluate as command
from esper_testing.reference.environment import Lamps
from tests.runs import forking

SMALL = ("--instances", "4", "--search-episodes", "6")


@pytest.fixture
def words(runs: list[RunDirectory], index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The beginning of a command line in a folder with two runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load_installed", lambda context: (index, Recipes()))
    for number, source in enumerate(runs):
        shutil.copytree(source.path, tmp_path / "runs" / f"lamps-{number}")
    return ("evaluate", "lamps-0", "lamps-1", *SMALL)


def test_a_document_for_machines(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.out.count("\n") == 1
    assert {"arms", "primary", "instances", "seeds"} <= set(document)
    assert set(document["arms"]) == {
        *("static", "random", "policy", "policy-greedy", "random-matched", "best-fixed", "replay")
    }
    for outcomes in document["arms"].values():
        assert 0.0 <= outcomes["right"]["low"] <= outcomes["right"]["high"] <= 1.0
    assert document["primary"]["contrast"] in ("policy - static", "policy - random")
    assert (document["instances"], document["seeds"], document["checkpoints"]) == (4, 2, [2, 2])
    assert document["search"]["searched"] == 6 and document["search"]["training_episodes"] == 6
    assert Path(document["figure"]).read_bytes().startswith(b"\x89PNG")
    assert Path(document["figure"]).parent == Path(document["records"])
    assert Path(document["records"]).parent == Path("runs/lamps-0/evaluation")
    assert document["played"] == 3 * 4 + 4 * 8 + 6 and f"{document['played']} of {document['played']}" in captured.err
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**document, "played": 0}


def test_a_table_for_people(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(list(words)) == 0
    text = capsys.readouterr().out
    header, *rows = text.partition("\n\n")[0].splitlines()
    assert header.split() == ["arm", "right", "lit"] and len(rows) == 7
    assert sum(" * " in row for row in rows) == 1
    iqms = [float(row.replace(" *", "").split()[1]) for row in rows]
    assert iqms == sorted(iqms, reverse=True)
    said = " ".join(text.split())
    assert "policy seeds 0 (update 2), 1 (update 2)" in said
    assert any(w in said for w in ("The policy is better", "The policy is worse", "No difference shown"))
    assert "after 6 episodes of search; a policy was trained with 6." in said
    assert "comparison.png" in said and "One policy seed" not in said


def test_within_groups(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    few = ("evaluate", "lamps-0", "--instances", "8", "--arms", "policy,static", "--by", "target")
    assert run([*few, "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert set(groups) <= {"red", "green", "blue"} and len(groups) > 1
    assert sum(group["instances"] for group in groups.values()) == 8
    assert run([*few]) == 0
    said = capsys.readouterr().out
    header = next(line for line in said.splitlines() if line.startswith("arm") and "right" not in line)
    assert header.split()[1:] == [w for name, g in groups.items() for w in (name, f"({g['instances']})")]
    assert "right by group of instances" in said


def test_groups_that_the_environment_does_not_tell(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    few = ("evaluate", "lamps-0", "--instances", "8", "--arms", "policy,static")
    for known_before in (False, True):
        assert run([*few, "--by", "targt"]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "does not say 'targt' of its episodes. Did you mean 'target'? It says target." in said
        assert len(list(Path("runs").glob("*/evaluation/*/episodes.jsonl"))) == known_before
        assert run(list(few)) == 0
        capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("lamps-0", "--arms", "polcy"), 2, "no arm 'polcy'"),
        (("lamps-0", "lamps-0"), 2, "have the same seed"),
        (("lamps-0", "--at", "9"), 2, "no checkpoint of update 9"),
        (("lamps-9",), 2, "There is no run 'lamps-9'"),
        (("lamps-0", "--search-episodes", "2"), 2, "less than one batch of 3"),
        (("lamps-0", "--instances", "1"), 2, "--instances"),
        (("lamps-0", "--arms", "plateau"), 2, "reads the state field"),
        (("lamps-0", "--device", "nowhere"), 2, "device 'nowhere' cannot be used"),
    ],
)
def test_mistakes(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, says: str
) -> None:
    assert run(["evaluate", *arguments, "--json"]) == status
    captured = capsys.readouterr()
    assert says in captured.err and captured.out == ""
    assert not list(Path("runs").glob("*/evaluation"))


@pytest.mark.parametrize("name", ["evaluation", "evaluation/{digest}/episodes.jsonl"])
def test_no_link_leads_an_evaluation_out_of_its_run(
    words: tuple[str, ...], tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*words, "--arms", "static")
    assert run(list(words)) == 0
    run_folder, outside = tmp_path / "runs" / "lamps-0", tmp_path / "outside"
    (folder,) = (run_folder / "evaluation").iterdir()
    link = run_folder / name.format(digest=folder.name)
    shutil.move(link, outside)
    link.symlink_to(outside)
    before = {path: path.read_bytes() for path in (outside, *outside.rglob("*")) if path.is_file()}
    capsys.readouterr()
    assert run([*words, "--instances", "5"]) == 1
    assert f"{link} cannot be written: it is a link" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (outside, *outside.rglob("*")) if path.is_file()} == before


def slowly(words: tuple[str, ...]) -> None:
    step = Lamps.step

    def slow(self: Any, actions: Any) -> Any:
        time.sleep(0.02)
        return step(self, actions)

    Lamps.step = slow  # type: ignore[method-assign]
    main([*words, "--json"])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_when_it_is_stopped_what_was_finished_is_kept(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int, status: int
) -> None:
    process = forking.start(slowly, words, said=tmp_path / "said")

    def kept() -> list[Path]:
        found = tmp_path.glob("runs/*/evaluation/*/episodes.jsonl")
        return [path for path in found if path.stat().st_size]

    deadline = time.monotonic() + 60
    while not kept():
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid or 0, number)
    process.join(60)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == status and "Traceback" not in said
    assert "Every batch of episodes that was finished is kept." in said and "goes on from there" in said
    lines = len(kept()[0].read_text().splitlines())
    assert lines >= 3
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["played"] <= 3 * 4 + 4 * 8 + 6 - lines
