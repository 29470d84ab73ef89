"""Runs to be stopped, gone on with and compared: what the tests of resuming and of faults share."""

from __future__ import annotations

import json
from pathlib import Path

SMALL = (
    *("--envs", "2", "--epochs", "4", "-o", "network.hidden_dim=16"),
    *("-o", "task.train_samples=100", "-o", "environment.workers=1"),
)
"""Flags that make an update take less than a second."""

UPDATES = 4
POLICY = ("--policy", "lstm-v2", "--slots", "2")
ENGINE = (
    *POLICY,
    *SMALL,
    "-o",
    "environment.runtime=engine",
    "-o",
    "environment.workers=2",
    "-o",
    "train.num_minibatches=2",
)
LOOP = (*POLICY, *SMALL, "-o", "environment.runtime=loop")
DRAWN = ("--policy", "lstm-slots", "--slots", "1,2,3", *SMALL)
KINDS = {"engine": ENGINE, "loop": LOOP, "drawn": DRAWN}


def only_run(out: Path) -> Path:
    (folder,) = (path for path in out.iterdir() if (path / "run.json").exists())
    return folder


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_timing(folder: Path) -> list[dict]:
    return [{key: value for key, value in line.items() if key != "timing"} for line in lines_of(folder)]


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file but the lock, by its path within."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def assert_same(folder: Path, expected: Path, planned_shorter: bool = False) -> None:
    """Compare every byte of every checkpoint, every event, and every metric that does not depend on the clock.

    Checkpoints of a run that was planned shorter say so, all but the last.
    """

    def without_total(state: bytes) -> dict:
        content = json.loads(state)
        return {**content, "digest": None, "plan": {**content["plan"], "updates": None}}

    assert without_timing(folder) == without_timing(expected)
    assert (folder / "events.jsonl").read_bytes() == (expected / "events.jsonl").read_bytes()
    found, wanted = files_of(folder / "checkpoints"), files_of(expected / "checkpoints")
    assert set(found) == set(wanted)
    for name in wanted:
        differs = planned_shorter and name.endswith("state.json") and str(UPDATES) not in name
        same = without_total if differs else bytes
        assert same(found[name]) == same(wanted[name]), name
