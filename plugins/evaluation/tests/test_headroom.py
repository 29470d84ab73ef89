"""benchmarks/headroom.py: hindsight without luck, and a tiny measurement that goes on where it was left."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
TINY = "--training 16 --scored 8 --episodes 4 --searches 2 --repeats 4 --envs 4 --json"
SHORT = ("-o", "environment.epochs=2", "-o", "environment.workers=1")


@pytest.fixture
def headroom(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("headroom")


def test_what_is_luck_alone_wins_nothing_and_what_is_not_is_found(headroom: Any) -> None:
    split_halves = headroom.split_halves
    luck = np.random.default_rng(0).normal(0.0, 0.1, (6, 2000, 4))
    split, hindsight = split_halves(luck)
    assert abs(split.mean()) < 0.005 and hindsight.mean() > 0.05
    luck[2, ::2] += 1.0
    assert split_halves(luck)[0].mean() == pytest.approx(0.5, abs=0.01)


def test_every_one_who_plays_has_episodes_of_their_own(headroom: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where two searches play the same instances of a kind in the same order."""
    sizes = {"slots": 3, "training": 1, "scored": 1, "episodes": 4, "searches": 2, "repeats": 4, "envs": 4}
    arena = headroom.Field(sizes, "0", {}, ())
    jobs = []

    def batch(name: str, episodes: Any, factor: float = 1.0, schedules: bool = False) -> dict[str, Any]:
        jobs.append((factor, tuple((number, who.name) for number, who in episodes)))
        return {key: [0.0] * len(episodes) for key in ("accuracy", "kinds", "world")}

    monkeypatch.setattr(headroom.Field, "batch", lambda self, *words: batch(*words))
    whos = [arena.schedule([[number]]) for number in (1, 2)]
    found = arena.repeated("scored", [(at, who) for who in whos for at in range(4)])
    assert found.shape == (8, 4) and len(set(jobs)) == len(jobs) == 2 * 4
    assert sorted({factor for factor, _ in jobs}) == pytest.approx([0.97, 0.99, 1.01, 1.03])


@pytest.mark.slow
def test_a_tiny_measurement_is_kept_and_read(headroom: Any, tmp_path: Path) -> None:
    words = [sys.executable, str(BENCHMARKS / "headroom.py"), str(tmp_path), *TINY.split(), *SHORT]
    first = subprocess.run(words, capture_output=True, text=True, check=True)
    document = json.loads(first.stdout)
    (records,) = tmp_path.glob("*.jsonl")
    played = records.read_bytes()
    assert document["all"]["instances"] == 8 == sum(row["instances"] for row in document["kinds"].values())
    assert {len(row["searches"]) for row in document["kinds"].values()} <= {0, 2} and "ETA" in first.stderr
    assert document["all"]["hindsight"] >= document["all"]["per instance"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == first.stdout
    assert records.read_bytes() == played, "nothing is played again"
    lines = [json.loads(line) for line in played.splitlines()]
    jobs, fields = {line["job"]: line for line in lines}, tuple(document["selector"]["fields"])
    read = headroom.measure(headroom.Field(document["sizes"], document["policy"], jobs, fields))
    assert read == document, "what is read is what was played"
    jobs.popitem()
    with pytest.raises(ValueError, match="has no '"):
        headroom.measure(headroom.Field(document["sizes"], document["policy"], jobs, fields))
