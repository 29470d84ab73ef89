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
FUSED = (*POLICY, *SMALL, "-o", "environment.workers=2", "-o", "train.num_minibatches=2")
LOOP = (*POLICY, *SMALL, "-o", "environment.runtime=loop")
KINDS = {"fused": FUSED, "loop": LOOP}


def only_run(out: Path) -> Path:
    (folder,) = (path for path in out.iterdir() if (path / "run.json").exists())
    return folder


def without_timing(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "timing"} for line in lines]


def without_total(state: Path) -> dict:
    content = json.loads(state.read_text())
    return {**content, "digest": None, "plan": {**content["plan"], "updates": None}}


def assert_same(folder: Path, expected: Path, planned_shorter: bool = False) -> None:
    """Compare every byte of every checkpoint, every event, and every metric that does not depend on the clock.

    Checkpoints of a run that was planned shorter say so, all but the last.
    """
    assert without_timing(folder) == without_timing(expected)
    assert (folder / "events.jsonl").read_bytes() == (expected / "events.jsonl").read_bytes()
    names = [
        sorted(str(f.relative_to(r / "checkpoints")) for f in (r / "checkpoints").rglob("*"))
        for r in (folder, expected)
    ]
    assert names[0] == names[1]
    for name in (f"checkpoints/{name}" for name in names[1] if (expected / "checkpoints" / name).is_file()):
        if planned_shorter and name.endswith("state.json") and str(UPDATES) not in name:
            assert without_total(folder / name) == without_total(expected / name), name
        else:
            assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
