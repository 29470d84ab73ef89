"""One damaged or hostile run: listings name it and go on, and what is asked of it says file and line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from esper_core.cli import completion
from esper_core.cli.app import run as esper
from plugins.evaluation.tests.report.conftest import line, plan
from plugins.evaluation.tests.report.conftest import make_run as make_run

DEEP = '{"schema": 1, "plan": ' + "[" * 100_000


def replaced(file: str, text: str) -> Callable[[Path], object]:
    return lambda run: (run / file).write_text(text)


def recorded(**changes: Any) -> Callable[[Path], object]:
    def damage(run: Path) -> None:
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**record, **changes}))

    return damage


WITHOUT_TIMING = {key: value for key, value in line(1).items() if key != "timing"}

DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "deep": (replaced("run.json", DEEP), "run.json"),
    "plan": (recorded(plan={**plan(), "updates": 10**30}), "run.json"),
    "words": (recorded(words={"headlines": [{"name": "return"}]}), "run.json"),
    "no-timing": (replaced("metrics.jsonl", json.dumps(WITHOUT_TIMING) + "\n"), "metrics.jsonl:1"),
    "order": (replaced("metrics.jsonl", (json.dumps(line(1)) + "\n") * 2), "metrics.jsonl:2"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_run_hides_no_other_and_is_named(make_run, tmp_path, monkeypatch, capsys, what):
    monkeypatch.chdir(tmp_path)
    make_run("good")
    bad, (damage, where) = make_run("bad"), DAMAGE[what]
    damage(bad.path)
    out = ("--out", str(tmp_path))
    for form in ((), ("--json",)):
        assert esper(["runs", "list", *out, *form]) == 0
        said = capsys.readouterr()
        assert "good" in said.out and "bad" not in said.out and f"bad/{where}" in said.err
    for words in (["show", str(bad.path)], ["show", str(bad.path), "--json"]):
        assert esper(["runs", *words]) == 4
        said = capsys.readouterr()
        assert said.out == "" and f"bad/{where}" in said.err and "Traceback" not in said.err


def test_completion_offers_the_runs_that_can_be_read(make_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    DAMAGE["deep"][0](make_run("runs/bad").path)
    for name in ("runs/good", "runs/gr\x1b]0;x\a\nforged"):
        make_run(name)
    assert [name for name, _ in completion.runs(SimpleNamespace(obj=None), "")] == ["good", "pretrained"]


@pytest.mark.parametrize("file", ["state.json", "policy.safetensors"])
def test_a_damaged_checkpoint_is_named_and_listed_as_damaged(finished, capsys, file):
    newest = max((finished / "checkpoints").iterdir())
    (newest / file).unlink()
    os.mkfifo(newest / file)  # whoever reads it waits for ever
    assert esper(["train", "--resume", str(finished), "--updates", "99"]) == 4
    assert f"{newest.name}/{file}" in capsys.readouterr().err
    assert esper(["runs", "show", str(finished), "--json"]) == 0
    assert ("damaged" in json.loads(capsys.readouterr().out)["newest"]) == (file == "state.json")
