"""`esper evaluate` on growth: a trained run, and every kind of arm."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from esper_core.cli.app import run

ARMS = "static,all-on,policy,random-matched,best-fixed,replay"


def test_a_run_of_growth_is_evaluated(
    references: Callable[..., Path],
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ESPER_CACHE", str(shared / "cache"))
    path = shutil.copytree(references("loop"), tmp_path / "run")
    words = ["evaluate", str(path), "--instances", "2", "--search-episodes", "4", "--arms", ARMS, "--json"]
    assert run(words) == 0, capsys.readouterr().err
    document = json.loads(capsys.readouterr().out)
    assert set(document["arms"]) == set(ARMS.split(","))
    for outcomes in document["arms"].values():
        assert {"test_accuracy", "added_parameters", "training_flops", "alpha_shock"} <= set(outcomes)
        assert 0.0 <= outcomes["test_accuracy"]["iqm"] <= 1.0
    static = document["arms"]["static"]
    assert static["added_parameters"] == {"iqm": 0.0, "low": 0.0, "high": 0.0}
    assert document["primary"]["contrast"] in ("policy - static", "policy - all-on")
    # Fossils that were kept are those that a replay begins with, and ends with.
    lines = [json.loads(line) for line in (Path(document["records"]) / "episodes.jsonl").read_text().splitlines()]
    grown = {(e["arm"], e["instance"]): (e["topology"], e["outcomes"]["added_parameters"]) for e in lines}
    for number in document["instance_numbers"]:
        assert grown["replay", number] == grown["policy-greedy", number]
        assert document["played"] == 2 * 7 + 4
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out) == {**document, "played": 0}
