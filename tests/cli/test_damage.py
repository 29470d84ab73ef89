"""One damaged or hostile run: listings name it and go on, and what is asked of it says file and line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esper_core.cli import completion
from esper_core.cli.app import run as esper
from plugins.evaluation.tests.report.conftest import MakeRun, line
from plugins.evaluation.tests.report.conftest import make_run as make_run

DEEP = '{"schema": 1, "plan": ' + "[" * 100_000


def replaced(file: str, text: str | bytes) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        (run / file).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))

    return damage


def piped(file: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        (run / file).unlink()
        os.mkfifo(run / file)

    return damage


def endless(file: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        (run / file).unlink()
        (run / file).symlink_to("/dev/zero")

    return damage


def recorded(**changes: Any) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**record, **changes}))

    return damage


def planned(**changes: Any) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        record = json.loads((run / "run.json").read_text())
        recorded(plan={**record["plan"], **changes})(run)

    return damage


def measured(**changes: Any) -> Callable[[Path], None]:
    return replaced("metrics.jsonl", json.dumps({**line(1), **changes}) + "\n")


WITHOUT_TIMING = {key: value for key, value in line(1).items() if key != "timing"}

DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "deep": (replaced("run.json", DEEP), "run.json"),
    "pipe": (piped("run.json"), "run.json"),
    "endless": (endless("run.json"), "run.json"),
    "bytes": (replaced("run.json", b"\xff\xfe"), "run.json"),
    "nan": (replaced("run.json", '{"schema": 1, "created": NaN}'), "run.json"),
    "slots": (planned(slots=3), "run.json"),
    "no-slots": (planned(slots=[]), "run.json"),
    "updates": (planned(updates=10**30), "run.json"),
    "components": (planned(components=[{"kind": 7}]), "run.json"),
    "train": (planned(train="x"), "run.json"),
    "created": (recorded(created=7), "run.json"),
    "distributions": (recorded(distributions={"esper-core": 3}), "run.json"),
    "git": (recorded(git="main"), "run.json"),
    "no-timing": (replaced("metrics.jsonl", json.dumps(WITHOUT_TIMING) + "\n"), "metrics.jsonl:1"),
    "seconds": (measured(timing={"seconds": "2"}), "metrics.jsonl:1"),
    "text": (measured(**{"return": "high"}), "metrics.jsonl:1"),
    "not-finite": (replaced("metrics.jsonl", json.dumps(line(1, kl=float("nan"))) + "\n"), "metrics.jsonl:1"),
    "infinite": (replaced("metrics.jsonl", json.dumps(line(1)).replace("0.3", "1e999") + "\n"), "metrics.jsonl:1"),
    "warnings": (measured(warnings="x"), "metrics.jsonl:1"),
    "warning": (measured(warnings=[{"since": "one"}]), "metrics.jsonl:1"),
    "order": (replaced("metrics.jsonl", (json.dumps(line(1)) + "\n") * 2), "metrics.jsonl:2"),
    "metrics-pipe": (piped("metrics.jsonl"), "metrics.jsonl"),
    "metrics-endless": (endless("metrics.jsonl"), "metrics.jsonl"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_run_hides_no_other_and_is_named(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    good, bad = make_run("good"), make_run("bad")
    damage, where = DAMAGE[what]
    damage(bad.path)
    out = ("--out", str(tmp_path))
    for form in ((), ("--json",)):
        assert esper(["runs", "list", *out, *form]) == 0
        said = capsys.readouterr()
        assert "good" in said.out and "bad" not in said.out and f"bad/{where}" in said.err
    commands = (["show", str(bad.path)], ["show", str(bad.path), "--json"], ["compare", str(good.path), str(bad.path)])
    for words in (*(["runs", *command] for command in commands), ["report", str(bad.path)]):
        assert esper(words) == 4
        said = capsys.readouterr()
        assert said.out == "" and f"bad/{where}" in said.err and "Traceback" not in said.err


def test_damaged_events_are_named_by_a_report(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"update": 1, "env": 0, "step": 0, "type": "x"}
    for number, wrong in enumerate(({"env": 2}, {"step": 10**9}, {"update": 0}, {"type": None}, {"env": "0"})):
        run = make_run(f"run-{number}", events=[event, {**event, **wrong}], record={"horizon": 10})
        assert esper(["report", str(run.path)]) == 4
        assert f"run-{number}/events.jsonl:2: this line is damaged" in capsys.readouterr().err


def test_completion_offers_the_runs_that_can_be_read(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad, forged = make_run("good"), make_run("bad"), make_run("gr\x1b]0;x\a\nforged")
    DAMAGE["deep"][0](bad.path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for made in (good, bad, forged):
        made.path.rename(tmp_path / "runs" / made.name)
    assert [name for name, _ in completion.runs("")] == ["good"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("state.json", DEEP),
        ("state.json", '{"schema": 2, "files": {}, "best_by": {"return": NaN}}'),
        ("state.json", None),
        ("policy.safetensors", None),
    ],
)
def test_a_damaged_checkpoint_is_named_and_listed_as_damaged(
    finished: Path, capsys: pytest.CaptureFixture[str], file: str, text: str | None
) -> None:
    newest = max((finished / "checkpoints").iterdir())
    piped(f"checkpoints/{newest.name}/{file}")(finished)
    if text is not None:
        (newest / file).unlink()
        (newest / file).write_text(text)
    assert esper(["train", "--resume", str(finished), "--updates", "99"]) == 4
    assert f"{newest.name}/{file}" in capsys.readouterr().err
    assert esper(["runs", "show", str(finished), "--json"]) == 0
    damaged = "damaged" in json.loads(capsys.readouterr().out)["newest"]
    assert damaged == (file == "state.json")


@pytest.mark.parametrize("damage", ['{"arm": "static"}', '{"outcomes": NaN}', "[]"])
def test_damaged_records_of_an_evaluation_are_named(
    finished: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    words = ["evaluate", str(finished), "--arms", "static", "--instances", "2"]
    assert esper(words) == 0
    capsys.readouterr()
    (episodes,) = finished.rglob("episodes.jsonl")
    with episodes.open("a") as lines:
        lines.write(f"{damage}\n")
    assert esper(words) == 4
    assert f"{episodes}:3: this line is damaged" in capsys.readouterr().err
