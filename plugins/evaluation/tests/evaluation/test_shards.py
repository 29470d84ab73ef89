"""An evaluation shared out among machines, and merged: as if one had played it all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from esper_core.cli.app import run
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import Interruption
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_evaluation.commands import evaluate as command
from esper_evaluation.looked import IQM, LOOKED_FILE, Look, look_at
from esper_testing.reference.environment import Lamps
from tests.runs import forking

SMALL = ("evaluate", "lamps-0", "lamps-1", "--instances", "5", "--search-episodes", "7", "--by", "target")
EPISODES = 4 * 5 + 4 * 2 * 5 + 6 + 2 * 6
"""As many training instances as are played, so that rules can be chosen there."""


@pytest.fixture
def folder(runs: list[RunDirectory], index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with two runs in `runs`."""
    monkeypatch.setattr(command, "load_installed", lambda *_: (index, Recipes()))
    for number, source in enumerate(runs):
        shutil.copytree(source.path, tmp_path / "runs" / f"lamps-{number}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


Printed = Callable[..., Any]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return a function that returns what a command prints as JSON, or what it says where it fails with a status."""

    def call(*words: str, status: int = 0) -> Any:
        assert run([*words, "--json"]) == status
        captured = capsys.readouterr()
        return json.loads(captured.out) if status == 0 else " ".join(captured.err.split())

    return call


def kept(folder: Path) -> dict[str, bytes]:
    """Return what lies with the records, but for shards."""
    (records,) = folder.glob("runs/lamps-0/evaluation/*/about.json")
    return {path.name: path.read_bytes() for path in records.parent.iterdir()}


def moved(folder: Path) -> Path:
    return shutil.move(folder / "runs/lamps-0/evaluation", folder / "before")


@pytest.mark.parametrize(("of", "more"), [(3, ()), (9, ("--primary", "paired-mean"))])
def test_merged_is_what_one_process_would_have_played(
    folder: Path, printed: Printed, begun: list[int], of: int, more: tuple[str, ...]
) -> None:
    words = (*SMALL, *more)
    document, records = printed(*words), kept(folder)
    moved(folder)
    begun.clear()
    shares = [printed(*words, "--shard", f"{number}/{of}") for number in range(of, 0, -1)]
    assert sum(share["jobs"] for share in shares) == EPISODES == sum(share["new"] for share in shares)
    busiest = max(share["jobs"] for share in shares)
    assert busiest <= max(EPISODES / of + 10, 2 * 6 + 5), "who searches plays little else"
    begun.clear()
    assert printed(*words, "--merge") == document and kept(folder) == records and begun == []
    assert printed(*words) == printed(*words, "--merge") == {**document, "played": 0}


def test_what_is_on_record_is_not_played_again(folder: Path, printed: Printed) -> None:
    fewer = (*SMALL[:3], "--instances", "2", "--arms", "policy,static,random-matched", *SMALL[5:])
    for words in (fewer, SMALL):
        before = printed(*words)
    records = kept(folder)
    moved(folder)
    printed(*fewer)
    new = sum(printed(*SMALL, "--shard", f"{number}/2")["new"] for number in (1, 2))
    assert new == before["played"] == EPISODES - 2 - 2 * 2 * 2
    assert printed(*SMALL, "--merge") == before and kept(folder) == records


def test_a_share_goes_on_where_it_was_left(
    folder: Path, printed: Printed, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = printed(*SMALL)
    moved(folder)
    begun.clear()
    reset = Lamps.reset

    def stopping(self: Lamps, **said: Any) -> Any:
        if len(begun) >= 6:
            raise Interruption
        return reset(self, **said)

    with monkeypatch.context() as patch:
        patch.setattr(Lamps, "reset", stopping)
        said = printed(*SMALL, "--shard", "1/2", status=130)
    assert "Every batch of episodes that was finished is kept" in said
    assert "1/2 is unfinished, 2 of" in printed(*SMALL, "--merge", status=2)
    again = printed(*SMALL, "--shard", "1/2")
    assert again["new"] == again["jobs"] - 6
    printed(*SMALL, "--shard", "2/2")
    assert printed(*SMALL, "--merge") == document


def test_two_sides_of_a_seed_are_played_by_one(folder: Path, printed: Printed, make_run: Any) -> None:
    run = make_run(seed=0, uses={"environment": "duel", "masks": "duel"}, slots="1")
    shutil.copytree(run.path, folder / "runs" / "duel")
    words = ("evaluate", "duel", "--arms", "policy,static", "--instances", "10")
    document = printed(*words)
    shutil.rmtree(folder / "runs/duel/evaluation")
    for number in (1, 2, 3):
        path = Path(printed(*words, "--shard", f"{number}/3")["file"])
        jobs = [json.loads(line)["result"] for line in path.read_text().splitlines()[1:]]
        instances = {(job["arm"], job["instance"]) for job in jobs}
        assert instances == {(arm, instance ^ 1) for arm, instance in instances}
    assert printed(*words, "--merge") == document


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*SMALL, "--merge"), "There are no shards of this evaluation in runs/lamps-0/evaluation/shards."),
        ((*SMALL, "--shard", "4/3"), "There is no shard 4/3 of 3"),
        ((*SMALL, "--shard", "1/3", "--merge"), "--shard and --merge do not go together"),
        ((*SMALL, "--merge", "--record", "x.gif"), "--record films where all is played by one machine"),
    ],
)
def test_mistakes(folder: Path, printed: Printed, words: tuple[str, ...], says: str) -> None:
    assert says in printed(*words, status=2)
    assert not list(folder.glob("runs/*/evaluation"))
    assert not (folder / "runs" / LOOKED_FILE).exists(), "what is refused has looked at nothing"


def test_shards_of_something_else_are_named(folder: Path, printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    printed(*SMALL, "--shard", "1/2")
    printed(*SMALL, "--instances", "6", "--shard", "2/2")
    said = printed(*SMALL, "--merge", status=2)
    assert "2/2 is missing" in said and re.search(r"2-of-2\.jsonl is of something else: instances was 6 and is 5", said)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX9")
    printed(*SMALL, "--shard", "2/2")
    assert re.search(r"2-of-2.jsonl does not belong with .* is AVX9", printed(*SMALL, "--merge", status=2))
    assert re.search(r"1-of-2.jsonl was begun under .* is AVX9", printed(*SMALL, "--shard", "1/2", status=2))


def test_what_several_look_at_at_once_is_all_on_record(tmp_path: Path) -> None:
    run: Any = SimpleNamespace(path=tmp_path / "run")

    def look(first: int) -> None:
        for number in range(first, first + 20):
            look_at(run, Look("", "lamps", number, 1, [], [], [], [], IQM, fresh=True, again=False))

    processes = [forking.start(look, first) for first in range(0, 80, 20)]
    for process in processes:
        process.join(60)
    lines = [json.loads(line) for line in (tmp_path / LOOKED_FILE).read_text().splitlines()]
    assert sorted(line["first"] for line in lines) == list(range(80))


MERGE = """
import sys
from esper_core.registry.loading import load_index
from esper_core.cli.app import run
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import Interruption
from esper_evaluation.commands import evaluate
from esper_testing.reference.plugin import with_references
index = with_references(load_index(only=("growth", "evaluation")))
evaluate.load_installed = lambda *_: (index, Recipes())
sys.exit(run(sys.argv[1:]))
"""


def test_merging_needs_no_torch(folder: Path, printed: Printed) -> None:
    document = printed(*SMALL)
    moved(folder)
    printed(*SMALL, "--shard", "1/1")
    (folder / "light").mkdir()
    (folder / "light" / "torch.py").write_text("raise ImportError('torch must not be imported here')\n")
    where = os.pathsep.join([str(folder / "light"), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", MERGE, *SMALL, "--merge", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": where},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == document
