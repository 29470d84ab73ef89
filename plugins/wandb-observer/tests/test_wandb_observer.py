"""The observer `wandb`: what it tells Weights & Biases, and that nothing misses the package until it is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import split
from typing import Any
from unittest.mock import Mock, call

import pytest

from esper_core.cli.app import run
from tests.command import Done

SMALL = split(
    "train --policy lstm-v1 --slots 2 --updates 2 --envs 2 --epochs 2 --no-tensorboard --observe wandb "
    "-o network.hidden_dim=16 -o task.train_samples=100 -o environment.workers=1"
)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """A stand-in for wandb that notes what it is called with."""
    module = Mock()
    module.init.return_value.log.side_effect = lambda row, step: json.dumps(row, allow_nan=False)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_a_run_is_told_from_start_to_end(wandb: Any, tmp_path: Path, shared: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ESPER_CACHE", str(shared / "cache"))
    options = ("project=growing", "mode=offline", 'tags=["night"]')
    chosen = [word for option in options for word in ("-o", f"observer.wandb.{option}")]
    assert run([*SMALL, "--out", str(tmp_path / "runs"), *chosen]) == 0
    (path,) = (tmp_path / "runs").iterdir()
    said, (*logged, last) = wandb.init.call_args.kwargs, wandb.init.return_value.method_calls
    assert last == call.finish() and [told.kwargs for told in logged] == [{"step": 1}, {"step": 2}]
    rows = [told.args[0] for told in logged]
    assert (said["project"], said["mode"], said["tags"], said["entity"]) == ("growing", "offline", ["night"], None)
    assert said["id"] == said["name"] == path.name and said["resume"] == "allow"
    record = json.loads((path / "run.json").read_text())
    assert said["config"] == {"plan": record["plan"], "distributions": record["distributions"]}
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for line, row in zip(lines, rows, strict=True):
        metrics = {name: value for name, value in line.items() if isinstance(value, float)}
        assert metrics.items() <= row.items() and row["environment_steps"] == line["environment_steps"]
        assert row["timing/steps_per_second"] == line["timing"]["steps_per_second"]
        assert row["warnings"] == len(line["warnings"])
    assert any(None in line.values() for line in lines) and not any(None in row.values() for row in rows)


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
    asked = without_wandb(*SMALL, "--out", str(tmp_path / "runs"))
    assert asked.returncode == 2
    assert asked.stderr.splitlines()[-2:] == [
        "Error: The observer 'wandb' needs the package 'wandb', which is not installed.",
        'pip install "wandb>=0.17"',
    ]
    assert not list((tmp_path / "runs").iterdir()), "nothing was begun"
