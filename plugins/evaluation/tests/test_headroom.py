"""benchmarks/headroom.py: hindsight without luck, and a tiny measurement that goes on where it was left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
TINY = "--training 8 --scored 4 --episodes 4 --searches 2 --repeats 2 --envs 4 --json"
SHORT = ("-o", "environment.epochs=2", "-o", "environment.workers=1")


def test_what_is_luck_alone_wins_nothing_and_what_is_not_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from headroom import split_halves

    luck = np.random.default_rng(0).normal(0.0, 0.1, (6, 2000, 4))
    split, hindsight = split_halves(luck)
    assert abs(split.mean()) < 0.005 and hindsight.mean() > 0.05
    luck[2, ::2] += 1.0
    assert split_halves(luck)[0].mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
def test_a_tiny_measurement_is_kept(tmp_path: Path) -> None:
    words = [sys.executable, str(BENCHMARKS / "headroom.py"), *TINY.split(), *SHORT, "--out", str(tmp_path)]
    first = subprocess.run(words, capture_output=True, text=True, check=True)
    document = json.loads(first.stdout)
    (records,) = tmp_path.glob("*.jsonl")
    played = records.read_bytes()
    assert document["all"]["instances"] == 4 == sum(row["instances"] for row in document["kinds"].values())
    assert {len(row["searches"]) for row in document["kinds"].values()} <= {0, 2} and "ETA" in first.stderr
    assert document["all"]["hindsight"] >= document["all"]["per instance"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == first.stdout
    assert records.read_bytes() == played, "nothing is played again"
