"""The observer `wandb`: what it tells Weights & Biases, and that nothing misses the package until it is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esper_core.cli.app import run
from tests.command import Done

SMALL = (
    *("train", "--policy", "lstm-v1", "--slots", "2", "--updates", "2", "--envs", "2", "--epochs", "2"),
    *(
        "-o",
        "network.hidden_dim=16",
        "-o",
        "task.train_samples=100",
        "-o",
        "environment.kernels=torch",
        "-o",
        "environment.workers=1",
        "--no-tensorboard",
    ),
)

STAND_IN = """
import json, pathlib

CALLS = []

class Run:
    def log(self, row, step):
        json.dumps(row, allow_nan=False)
        CALLS.append(("log", step, row))

    def finish(self):
        CALLS.append(("finish",))

def init(**said):
    CALLS.append(("init", said))
    return Run()
"""


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small module in place of wandb that notes what it is called with."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "wandb.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    import wandb

    yield wandb
    sys.modules.pop("wandb", None)


def test_a_run_is_told_from_start_to_end(wandb: Any, tmp_path: Path, shared: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ESPER_CACHE", str(shared / "cache"))
    options = ("project=growing", "mode=offline", 'tags=["night"]')
    chosen = [word for option in options for word in ("-o", f"observer.wandb.{option}")]
    assert run([*SMALL, "--out", str(tmp_path / "runs"), "--observe", "wandb", *chosen]) == 0
    (path,) = (tmp_path / "runs").iterdir()
    (_, said), *rows, last = wandb.CALLS
    assert last == ("finish",) and [(kind, step) for kind, step, _ in rows] == [("log", 1), ("log", 2)]
    assert (said["project"], said["mode"], said["tags"], said["entity"]) == ("growing", "offline", ["night"], None)
    assert said["id"] == said["name"] == path.name and said["resume"] == "allow"
    record = json.loads((path / "run.json").read_text())
    assert said["config"] == {"plan": record["plan"], "distributions": record["distributions"]}
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for line, (_, _, row) in zip(lines, rows, strict=True):
        metrics = {name: value for name, value in line.items() if isinstance(value, float)}
        assert metrics.items() <= row.items() and row["environment_steps"] == line["environment_steps"]
        assert row["timing/steps_per_second"] == line["timing"]["steps_per_second"]
        assert row["warnings"] == len(line["warnings"])
    assert any(None in line.values() for line in lines) and not any(None in row.values() for _, _, row in rows)


def test_it_passes_every_check(wandb: Any, conforms: Callable[[str], None]) -> None:
    conforms("observer/wandb")


@pytest.fixture
def without_wandb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Return a function that runs the command where the package is not installed."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    return lambda *words: Done(words, run(words), *capsys.readouterr())


def test_without_the_package_it_is_listed_and_its_checks_are_skipped(without_wandb: Callable[..., Done]) -> None:
    listed = json.loads(without_wandb("plugins", "list", "--json").stdout)
    (record,) = [record for record in listed if record["plugin"] == "wandb-observer"]
    assert (record["status"], record["components"]) == ("ok", ["observer/wandb"])
    report = json.loads(without_wandb("plugins", "check", "observer/wandb", "--json").stdout)
    (reason,) = {result["message"] for result in report["checks"] if result["status"] == "skipped"}
    assert report["verdict"] == "YELLOW" and 'pip install "wandb>=0.17"' in reason


def test_asking_for_it_without_the_package_names_the_line_that_installs_it(
    without_wandb: Callable[..., Done], tmp_path: Path
) -> None:
    asked = without_wandb(*SMALL, "--out", str(tmp_path / "runs"), "--observe", "wandb")
    assert asked.returncode == 2
    assert asked.stderr.splitlines()[-2:] == [
        "Error: The observer 'wandb' needs the package 'wandb', which is not installed.",
        'pip install "wandb>=0.17"',
    ]
    assert not list((tmp_path / "runs").iterdir()), "nothing was begun"
