"""Runs written by hand: what is drawn is known, and any text can be in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esper_core.runs.directory import RunDirectory

MakeRun = Callable[..., RunDirectory]

WORDS = {
    "headlines": [
        {"name": name, "label": label, "short": label, "meaning": "", "headline": place}
        for place, (name, label) in enumerate((("return", "return"), ("committed_accuracy", "grown hosts")), start=1)
    ],
    "slots": {"title": "What grew", "content": "blueprint", "thing": "seed"}
    | {"whole": "host", "whole_parameters": "host_parameters"},
}
SIZES = {"slots": ["r0c0", "r0c1"], "seed": 0, "envs": 2, "updates": 4}
MACHINE = {"device": "cpu", "threads": 1, "precision": "float32"}
TIMING = {"seconds": 2.0, "steps_per_second": 10.0, "phases": {"environment": 1.5, "update": 0.5}}
OPERATIONS = {"op/WAIT": 0.75, "op/GERMINATE": 0.25}
NUMBERS = {"return": 0.1, "gain": 0.2, "static_accuracy": 0.3, "committed_accuracy": 0.5}


def component(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"kind": kind, "name": name, "distribution": f"acme-{name}", "version": "1.0", "config": config}


def plan(**changes: Any) -> dict[str, Any]:
    components = [component("environment", "growth", epochs=10), component("network", "lstm-v2", hidden_dim=512)]
    known = {"schema": 1, "policy": "lstm-v2", "components": components, "train": {"lr": 3e-4, "gamma": 0.995}}
    return known | SIZES | MACHINE | changes


def line(update: int, **metrics: Any) -> dict[str, Any]:
    known = {"update": update, "environment_steps": update * 20, "kl": 0.001, "warnings": [], "timing": TIMING}
    learned = {"return": 0.1 * update, "entropy/op": 1.0 / update, "q_spread": 0.01 * update}
    return known | NUMBERS | OPERATIONS | learned | metrics


def seed(env: int, slot: str, blueprint: str, *stages: tuple[int, str, int | None]) -> list[dict[str, Any]]:
    """Return the events of a seed: step, stage and parameters of each."""
    of = {"env": env, "slot": slot, "blueprint": blueprint, "alpha": 0.5, "blend": "ADD"}
    kinds = ["germinate", *["advance"] * len(stages)]
    return [
        {**of, "type": kind, "step": step, "stage": stage, "parameters": parameters}
        for kind, (step, stage, parameters) in zip(kinds, stages, strict=False)
    ]


def episode(env: int, step: int = 9, **numbers: Any) -> dict[str, Any]:
    return {"env": env, "step": step, "type": "episode", "instance": 7, "host_parameters": 100, **NUMBERS, **numbers}


def grown(update: int) -> list[dict[str, Any]]:
    """Return the events of an update in which two environments grew something."""
    events = [
        *seed(0, "r0c0", "norm", (0, "GERMINATED", 33), (1, "TRAINING", 33), (4, "FOSSILIZED", 33)),
        *seed(1, "r0c1", "conv_light", (2, "GERMINATED", 64), (3, "TRAINING", 64), (6, "PRUNED", None)),
        episode(0, **{"return": 0.1 * update - 0.05}),
        episode(1, **{"return": 0.1 * update + 0.05}),
    ]
    return [{"update": update, **event} for event in events]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that writes a run of `updates` updates; any part can be said."""

    def make(
        name: str = "lstm-v2-s2",
        *,
        updates: int = 4,
        lines: list[dict[str, Any]] | None = None,
        events: list[dict[str, Any]] | None = None,
        record: dict[str, Any] | None = None,
        **changes: Any,
    ) -> RunDirectory:
        folder = tmp_path / name
        folder.mkdir()
        content = {
            "schema": 1,
            "created": "2026-01-02T03:04:05+00:00",
            "parameters": 1234,
            "words": WORDS,
            "plan": plan(**changes),
            "distributions": {"esper-core": {"version": "0.1.0", "source": "abc"}},
            "libraries": {"torch": "2.13.0"},
            "git": {"commit": "f" * 40, "changed": False},
            "machine": {"system": "Linux", "cores": 2},
            **(record or {}),
        }
        (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
        numbers = range(1, updates + 1)
        lines = [line(u) for u in numbers] if lines is None else lines
        events = [event for u in numbers for event in grown(u)] if events is None else events
        for file, entries in (("metrics.jsonl", lines), ("events.jsonl", events)):
            (folder / file).write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
        return RunDirectory.open(folder)

    return make
