"""benchmarks/effects.py: settings that can be trained, and effects of policies that have played the same instances."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from esper_core.cli.app import run
from esper_evaluation.arms import POLICY

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def effects(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("effects")


def test_every_setting_can_be_trained(effects: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """For equal steps, otherwise than the recipe, and on the same instances where returns are compared."""
    plans = {}
    for setting in effects.SETTINGS:
        assert run(["train", *effects.run(setting, 0).words, "--seed", "0", "--dry-run"]) == 0, setting
        plans[setting] = json.loads(capsys.readouterr().out)
    assert {plan["envs"] * plan["updates"] for plan in plans.values()} == {512}
    same = [setting for setting, plan in plans.items() if plan == plans[effects.ALONE]]
    assert same == [effects.ALONE]

    def drawn(setting: str) -> Any:
        (config,) = (c["config"] for c in plans[setting]["components"] if c["kind"] == "environment")
        return plans[setting]["envs"], config["instances"], config["repeats"], config["instance_weights"]

    others = {s for s in effects.SETTINGS if drawn(s) != drawn(effects.BESIDE.get(s, effects.ALONE))}
    assert others == set(effects.OTHER_WORLDS)


def test_an_effect_is_of_the_same_seeds_and_instances(effects: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    short = effects.read("short")
    draws = np.random.default_rng(0)

    def played(mean: float, seeds: tuple[int, ...] = effects.SEEDS) -> Any:
        accuracy = draws.normal(mean, 0.01, (len(seeds), len(short.instances))).tolist()
        values = {**short.values, POLICY: {short.first: accuracy}}
        return evolve(short, policies={str(seed): "" for seed in seeds}, values=values)

    found = {"recipe": played(0.5), "recipe-32": played(0.4), "teacher": played(0.6), "leave-one-out": played(0.6)}
    monkeypatch.setattr(effects, "held_out", lambda of, setting: found.get(setting))
    effect = effects.effect_held_out(None, "teacher")
    own, other = (np.array(found[name].values[POLICY][short.first]) for name in ("teacher", "recipe"))
    assert effect.value == pytest.approx((own - other).mean()) and effect.low < effect.value < effect.high
    assert effects.effect_held_out(None, "leave-one-out").value == pytest.approx(0.2, abs=0.02), "beside 32 hosts"
    assert effects.effect_held_out(None, "no-discount") is None, "not played"
    found["teacher"] = played(0.6, (0, 1, 3))
    with pytest.raises(ValueError, match="teacher has played with the seeds 0, 1, 3"):
        effects.effect_held_out(None, "teacher")
    found["teacher"] = evolve(played(0.6), instances=[at + 1 for at in short.instances])
    with pytest.raises(ValueError, match="teacher and recipe are of other instances"):
        effects.effect_held_out(None, "teacher")


def test_what_was_trained_anew_plays_again(effects: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And what has lost its episodes, which lie in the folder of the first run."""
    digests = ["a" * 64, "b" * 64, "c" * 64]
    runs = [SimpleNamespace(path=Path(f"run-{seed}"), digest=at) for seed, at in enumerate(digests)]
    of = SimpleNamespace(folder=tmp_path, opened=lambda run: runs[run.seed])
    records = tmp_path / "records"
    asked: list[list[str]] = []

    def evaluate(words: list[str], stdout: Any) -> Any:
        asked.append(words)
        records.mkdir(exist_ok=True)
        document = {"records": str(records), "played": {str(seed): run.digest[:16] for seed, run in enumerate(runs)}}
        return SimpleNamespace(returncode=0, stdout=json.dumps(document).encode())

    monkeypatch.setattr(effects.subprocess, "run", evaluate)
    monkeypatch.setattr(effects, "choose_checkpoint", lambda run, at: run)
    monkeypatch.setattr(effects, "read_header", lambda run: SimpleNamespace(content={"digest": run.digest}))
    monkeypatch.setattr(effects, "measured", lambda document: SimpleNamespace(policies=document["played"]))

    def plays() -> int:
        for _ in range(2):
            effects.play(of, ["teacher"])
        return len(asked)

    assert effects.held_out(of, "teacher") is None and plays() == 1
    assert asked[0][1:5] == ["evaluate", "run-0", "run-1", "run-2"] and effects.held_out(of, "teacher") is not None
    runs[1].digest = "d" * 64
    assert effects.held_out(of, "teacher") is None and plays() == 2
    records.rmdir()
    assert plays() == 3
    of.opened = lambda run: None if run.seed == 2 else runs[run.seed]
    assert effects.held_out(of, "teacher") is None and plays() == 3, "a seed is missing"
