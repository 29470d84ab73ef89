"""A run's directory: its name, its `run.json`, its lines, and finding it again."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import pytest
from attrs import evolve

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import CheckpointMismatch, PluginError, UserError
from esper_core.learning.trainer import Update
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory, check_writable, find_run, list_runs


def update(index: int = 1, **metrics: float | None) -> Update:
    return Update(index, 8 * index, dict(metrics), {"seconds": 0.5}, [])


def test_its_name_says_policy_slots_and_date(tmp_path: Path, plan: Plan, index: Index) -> None:
    first, second = (RunDirectory.create(tmp_path / "new" / "runs", plan, index) for _ in range(2))
    assert re.fullmatch(r"lstm-v2-s2-\d{8}-\d{6}-[0-9a-f]{4}", first.name)
    assert first.path != second.path and first.path.parent == tmp_path / "new" / "runs"
    run = RunDirectory.create(tmp_path, evolve(plan, policy="../acme:net v2" + "x" * 300), index)
    assert run.path.parent == tmp_path and run.name.startswith("acme-net-v2x")


def test_run_json_says_where_numbers_come_from(tmp_path: Path, plan: Plan, index: Index) -> None:
    run = RunDirectory.create(tmp_path, plan, index, {"parameters": 7})
    record = json.loads((run.path / "run.json").read_text())
    assert record == run.record == RunDirectory.open(run.path).record
    assert record["parameters"] == 7 and record["seeds"] == {"run": 0}
    assert Plan.from_json(record["plan"]) == plan
    assert set(record["distributions"]) == {
        *("esper-core", "esper-factored-ppo", "esper-growth", "esper-lstm-v2"),
        *("esper-obs-v3", "esper-op-conditioned-critic"),
    }
    sources = {entry["source"] for entry in record["distributions"].values()}
    assert len(sources) == 6 and all(re.fullmatch(r"[0-9a-f]{16}", source) for source in sources)
    assert all(re.fullmatch(r"\d+\.\d+.*", entry["version"]) for entry in record["distributions"].values())
    assert {"python", "torch", "numpy", "safetensors"} <= set(record["libraries"]) and record["machine"]["cores"] >= 1
    assert record["libraries"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record["feature_schema"]["dim"] == 31 + 30 * 2 and record["actions"]["heads"]["slot"] == 2
    assert record["weights_versions"]["network/lstm-v2"] == 1


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, plan: Plan, index: Index) -> None:
    (tmp_path / "file").write_text("")
    check_writable(tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == [], "asking leaves nothing behind"
    for attempt in (lambda out: RunDirectory.create(out, plan, index), check_writable):
        with pytest.raises(UserError, match=r"No run can be written to .*file/runs: Not a directory") as caught:
            attempt(tmp_path / "file" / "runs")
        assert "--out" in caught.value.hint


# Lines --------------------------------------------------------------------------------------------------------------


def test_a_metrics_line(run: RunDirectory) -> None:
    before = run.metrics()
    line = run.append_metrics(update(4, gain=0.25, kl=math.nan, spread=None))
    expected = {"update": 4, "environment_steps": 32, "gain": 0.25, "kl": None, "spread": None}
    assert line == {**expected, "warnings": [], "timing": {"seconds": 0.5}}
    assert run.metrics() == [*before, line]
    with pytest.raises(PluginError, match="A metric is called 'timing'"):
        run.append_metrics(update(5, timing=1.0))
    assert run.metrics() == [*before, line]


# Reading damaged runs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("{", r"run\.json:1 is damaged"),
        ("[]", r"run\.json was not written by esper"),
        ({"created": 3}, r"run\.json is damaged: 'created' is an integer"),
        ({"schema": 99}, "has schema 99; this version of esper-core reads 1"),
        ({"plan": {"schema": 1, "policy": "x"}}, r"run\.json: The recorded plan is damaged: 'slots' is missing"),
    ],
)
def test_a_damaged_run_json_is_named(run: RunDirectory, change: str | dict[str, object], words: str) -> None:
    file = run.path / "run.json"
    content = change if isinstance(change, str) else json.dumps({**json.loads(file.read_text()), **change})
    file.write_text(content)
    with pytest.raises(CheckpointMismatch, match=words) as caught:
        RunDirectory.open(run.path)
    assert caught.value.hint.endswith("pip install --upgrade esper-core" if "schema 99" in words else "from a copy.")


# Finding ------------------------------------------------------------------------------------------------------------


PLAN = {"schema": 1, "policy": "lstm-v2", "slots": ["r0c0"], "seed": 0, "envs": 1, "updates": 1, "device": "cpu"}


def place(out: Path, name: str, created: str = "2026-01-01T00:00:00+00:00") -> None:
    (out / name).mkdir(parents=True)
    (out / name / "run.json").write_text(
        json.dumps({"schema": 1, "created": created, "plan": {**PLAN, "components": [], "train": {}}})
    )


def test_runs_are_listed_from_old_to_new_and_damage_beside(tmp_path: Path) -> None:
    place(tmp_path, "b", "2026-01-01T00:00:00+00:00")
    place(tmp_path, "a", "2026-01-02T00:00:00+00:00")
    place(tmp_path, "c", "2026-01-03T00:00:00+00:00")
    (tmp_path / "c" / "run.json").write_text("{")
    (tmp_path / "no-run").mkdir()
    (tmp_path / "file").write_text("")
    runs, damaged = list_runs(tmp_path)
    assert [run.name for run in runs] == ["b", "a"]
    assert len(damaged) == 1 and str(tmp_path / "c" / "run.json") in damaged[0]
    assert list_runs(tmp_path / "nowhere") == ([], [])


def test_a_run_is_found_by_path_name_and_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lstm-1", "lstm-12", "other-1"):
        place(tmp_path / "runs", name)
    monkeypatch.chdir(tmp_path / "runs" / "other-1")
    out = tmp_path / "runs"
    said = ("lstm-1", "oth", f"{out}/lstm-1/", "../lstm-12", ".")
    assert [find_run(text, out).name for text in said] == ["lstm-1", "other-1", "lstm-1", "lstm-12", "other-1"]


def test_a_name_of_no_run_or_of_several_is_refused(tmp_path: Path) -> None:
    for name in ("lstm-1", "lstm-2"):
        place(tmp_path, name)
    with pytest.raises(UserError, match=r"There is no run 'lsmt-1' in .* Did you mean 'lstm-1'"):
        find_run("lsmt-1", tmp_path)
    with pytest.raises(UserError, match=r"2 runs in .* begin with 'lstm'") as caught:
        find_run("lstm", tmp_path)
    assert "lstm-1, lstm-2" in caught.value.hint
