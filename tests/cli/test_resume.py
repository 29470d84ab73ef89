"""`esper train --resume`: bit for bit the run that was never stopped, and refusals that say what to do."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from esper_core.cli.app import main
from tests.cli.resuming import ENGINE, KINDS, UPDATES, assert_same, files_of, only_run
from tests.runs import forking


@pytest.mark.parametrize(("kind", "done"), [("engine", 1), ("loop", 3), ("drawn", 2)])
def test_a_run_that_was_planned_shorter(train, references, tmp_path, kind, done):
    assert train(*KINDS[kind], "--updates", str(done), "--out", "runs") == 0
    folder = only_run(tmp_path / "runs")
    assert train("--resume", str(folder), "--updates", str(UPDATES)) == 0
    assert_same(folder, references(kind), planned_shorter=True)
    record = json.loads((folder / "run.json").read_text())
    assert record["plan"] == json.loads((references(kind) / "run.json").read_text())["plan"]
    (note,) = record["resumed"]
    assert (note["update"], note["updates"]) == (done, UPDATES) and note["distributions"] == record["distributions"]


def stop_and_go_on(train, out: Path, kind: str, updates: int, moments: list[tuple[int, float]]) -> Path:
    """Train a run, stop it by signals after random times, and go on each time; return its folder."""
    words = ["train", *KINDS[kind], "--updates", str(updates), "--out", str(out)]
    for number, seconds in moments:
        for left in out.glob("*/lock"):  # by the last process: the next one's says that it listens to signals
            left.unlink()
        process = forking.start(main, words, said=out.with_suffix(".txt"))
        while not list(out.glob("*/lock")) and process.is_alive():
            time.sleep(0.01)
        process.join(seconds)
        if process.is_alive():
            os.kill(process.pid or 0, number)
        process.join(30)
        assert process.exitcode in {0, -number, 128 + number}, out.with_suffix(".txt").read_text()
        if list(out.glob("*/run.json")):
            words = ["train", "--resume", str(only_run(out))]
    assert forking.call(main, words) == 0
    return only_run(out)


MANY = [signal.SIGKILL] * 14 + [signal.SIGINT] * 3 + [signal.SIGTERM] * 3


@pytest.mark.parametrize(
    ("kind", "updates", "numbers"),
    [
        ("engine", UPDATES, [signal.SIGKILL, signal.SIGINT]),
        ("loop", UPDATES, [signal.SIGTERM, signal.SIGKILL]),
        ("drawn", UPDATES, [signal.SIGKILL]),
        *(pytest.param(kind, 24, random.sample(MANY, 20), marks=pytest.mark.slow, id=f"{kind}-many") for kind in KINDS),
    ],
)
def test_stopped_at_random_moments(train, references, tmp_path, kind, updates, numbers):
    moments = [(number, random.uniform(0, 1)) for number in numbers]
    folder = stop_and_go_on(train, tmp_path / "runs", kind, updates, moments)
    assert_same(folder, references(kind, updates))


def test_killed_before_the_first_update_was_finished(train, references, tmp_path, capsys):
    assert train(*ENGINE, "--updates", str(UPDATES), "--out", "runs") == 0
    folder = only_run(tmp_path / "runs")
    shutil.rmtree(folder / "checkpoints")
    first, *_ = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text(first)
    assert train("--resume", str(folder)) == 0
    assert "No update of this run was finished; it begins again." in capsys.readouterr().err
    assert_same(folder, references("engine"))


def test_a_finished_run_says_so(train, finished, capsys):
    before = (finished / "run.json").read_bytes()
    assert train("--resume", str(finished), "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["updates"] == UPDATES and json.loads(out)["run"] == str(finished)
    assert f"all 4 updates are done. For more: esper train --resume {finished} --updates 8" in err
    assert (finished / "run.json").read_bytes() == before


def test_a_damaged_newest_checkpoint_is_refused_and_the_newest_good_one_named(train, references, finished, capsys):
    for file in ("000004/policy.safetensors", "000003/state.json"):
        data = (finished / "checkpoints" / file).read_bytes()
        (finished / "checkpoints" / file).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for name in ("metrics.jsonl", "events.jsonl"):  # a process was killed while it wrote these
        with (finished / name).open("a") as stream:
            stream.write('{"update": 5, "environment_st')
    before = files_of(finished)
    assert train("--resume", str(finished)) == 4
    err = capsys.readouterr().err
    assert re.search(r"000004/policy\.safetensors is damaged: .* digest [0-9a-f]{16}, not .* digest [0-9a-f]{16}", err)
    assert f"The newest good one is that of update 2: esper train --resume {finished} --at 2" in err
    assert files_of(finished) == before
    assert train("--resume", str(finished), "--at", "3") == 4
    assert train("--resume", str(finished), "--at", "2") == 0
    assert "going on after update 2 of 4" in capsys.readouterr().err
    assert_same(finished, references("engine"))


def plan_anew(run: Path) -> None:
    (run / "run.json").write_text((run / "run.json").read_text().replace('"seed": 0', '"seed": 1'))


KEPT = "A resumed run keeps its plan: {} cannot stand beside --resume"


@pytest.mark.parametrize(
    ("damage", "words", "status", "said"),
    [
        (plan_anew, (), 4, "run.json was changed: its plan is not that of"),
        (lambda run: shutil.rmtree(run / "checkpoints"), ("--updates", "9"), 4, "has no checkpoint, although"),
        (
            lambda run: [file.unlink() for file in run.glob("checkpoints/*/rng.safetensors")],
            *(("--updates", "9"), 4, "No other checkpoint of the run is good; begin a new one."),
        ),
        (None, ("--updates", "3"), 2, "cannot be 3: 4 are done"),
        (None, ("--at", "9"), 2, "no checkpoint of update 9.\nIt has those of: "),
        (None, ("--at", "worst"), 2, "no checkpoint of update worst.\nIt has those of: "),
        (None, ("--slots", "5", "--seed", "0"), 2, KEPT.format("--slots, --seed")),
        (None, ("-o", "train.lr=1", "--dry-run"), 2, KEPT.format("--dry-run, -o")),
        (None, ("-o", "observer.diary.flush=0"), 2, "'diary' does not watch it"),
    ],
)
def test_what_cannot_go_on_is_refused_and_stays_as_it_is(train, finished, capsys, damage, words, status, said):
    if damage is not None:
        damage(finished)
    before = files_of(finished)
    assert train("--resume", str(finished), *words) == status
    assert said in capsys.readouterr().err and files_of(finished) == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_a_damaged_line_is_named_before_anything_is_dropped(train, finished, capsys, name):
    lines = (finished / name).read_text().splitlines(keepends=True)
    (finished / name).write_text("".join([lines[0], "{broken\n", *lines[2:]]))
    before = files_of(finished)
    assert train("--resume", str(finished), "--at", "3") == 4
    err = capsys.readouterr().err
    assert f"{name}:2: this line is damaged" in err and f"sed -i 2d {finished / name}" in err
    assert files_of(finished) == before


def test_a_plugin_that_is_gone(train, finished, capsys):
    assert train("--resume", str(finished), "--no-plugin", "esper-lstm-v2", "--updates", "5") == 4
    err = capsys.readouterr().err
    assert re.search(r"network 'lstm-v2' +esper-lstm-v2 \S+ +switched off", err)
    assert "Switched off, and may provide it: lstm-v2 (esper-lstm-v2 " in err and "pip install" not in err


def test_a_run_shows_the_header_of_its_newest_checkpoint(finished, esper, process, without_torch):
    shown = process("runs", "show", str(finished), path=without_torch)
    assert shown.returncode == 0, shown.stderr
    state = json.loads((finished / "checkpoints/000004/state.json").read_text())
    section = shown.stdout.split("newest checkpoint\n")[1]
    sha256 = state["files"]["policy.safetensors"]["sha256"][:16]
    digests = (state["feature_schema"]["digest"], state["actions"]["digest"], sha256)
    for words in ("4, 32 environment steps", "r0c0, r0c1", *digests, state["distributions"]["esper-lstm-v2"]["source"]):
        assert words in section
    assert json.loads(esper("runs", "show", str(finished), "--json").stdout)["newest"] == state
