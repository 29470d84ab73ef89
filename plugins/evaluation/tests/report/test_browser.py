"""The page in a real browser: nothing to complain about, and readable on wide and narrow screens."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper_evaluation.report.page import write_report
from plugins.evaluation.tests.report.conftest import MakeRun, episode, seed
from tests.browser import browse, measure, needs_browser

pytestmark = needs_browser


@pytest.fixture
def report(make_run: MakeRun, tmp_path: Path) -> Path:
    names = [f"a_rather_long_name_of_a_blueprint_{i}" for i in range(9)]
    life = ((0, "GERMINATED", 33), (2, "TRAINING", 33), (5, "FOSSILIZED", 33))
    events = [
        {"update": u, **event}
        for u in range(1, 31)
        for env in range(4)
        for event in (*seed(env, "r0c0", names[u % 9], *life), *seed(env, "r0c1", "norm", *life), episode(env))
    ]
    run = make_run(events=events, updates=30, envs=4)
    write_report(run, tmp_path / "report.html")
    return tmp_path / "report.html"


def test_the_browser_has_nothing_to_complain_about(report: Path) -> None:
    done = browse(report)
    assert "What grew" in done.stdout, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr


@pytest.mark.parametrize(("width", "columns"), [(1280, 3), (390, 1)])
def test_everything_can_be_read(report: Path, width: int, columns: int) -> None:
    measured = measure(report, width)
    assert measured["bars"] >= 4 * 4 and measured["columns"] == columns
