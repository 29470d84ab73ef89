"""docs/monitoring.md says what the code does: every metric of a run, and the table of thresholds row by row."""

from __future__ import annotations

import pathlib
import re

import pytest

from esper_core.learning.session import open_session
from esper_core.learning.thresholds import THRESHOLDS, Bound, Threshold
from esper_core.registry.index import load_index
from esper_core.registry.plan import PlanRequest, make_plan
from esper_core.registry.recipes import Recipes

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")


def condition(bound: Bound) -> str:
    side = "above" if bound.below is None else "below"
    unit = f" × `{bound.unit}`" if bound.unit else ""
    return f"`{bound.metric}` {side} {bound.value:g}{unit}"


def row(threshold: Threshold) -> str:
    conditions = [condition(bound) for bound in (threshold.bound, *threshold.given)]
    if threshold.half is not None:
        conditions[0] += f" ({threshold.half:g} in bf16)"
    if threshold.after:
        conditions.append(f"after update {threshold.after}")
    return f"| `{threshold.name}` | {', '.join(conditions)} | {threshold.advice} |"


def rows(heading: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def test_the_table_of_warnings_is_the_table_of_thresholds() -> None:
    expected = [row(threshold) for threshold in THRESHOLDS]
    assert rows("Warnings") == expected, "\n" + "\n".join(expected)


def documented() -> dict[str, str]:
    """Return a pattern for every name in the first column of the table of metrics; several may share a row."""
    names = [name for line in rows("Metrics") for name in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert len(names) == len(set(names)), "a metric is listed twice"
    return {
        name: re.sub(r"<[^>]+>", "[^/]+", re.escape(name).replace(r"\<", "<").replace(r"\>", ">")) for name in names
    }


def test_every_metric_of_a_run_is_explained_and_no_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path))
    options = ["environment.epochs=6", "environment.instances=2", "environment.workers=1"]
    options += ["task.train_samples=100", "network.hidden_dim=16"]
    index = load_index()
    request = PlanRequest(policy="lstm-v2", slots="3", options=options, envs=2, updates=1, device="cpu")
    trainer = open_session(make_plan(request, index, Recipes()), index)
    (update,) = trainer.run(1)
    trainer.environment.close()
    patterns = documented()
    unexplained = [
        name for name in update.metrics if not any(re.fullmatch(pattern, name) for pattern in patterns.values())
    ]
    assert not unexplained
    missing = [
        name for name, pattern in patterns.items() if not any(re.fullmatch(pattern, other) for other in update.metrics)
    ]
    assert not missing


def test_metrics_named_in_warnings_are_explained() -> None:
    patterns = documented().values()
    for threshold in THRESHOLDS:
        for bound in (threshold.bound, *threshold.given):
            for name in filter(None, (bound.metric.replace("*", "x"), bound.unit)):
                assert any(re.fullmatch(pattern, name) for pattern in patterns), name
