"""How far a run is, in plain lines, and how fast it goes."""

from __future__ import annotations

import pytest

from esper_core.cli import pace as module
from esper_core.cli.pace import Pace
from esper_core.cli.progress import Lines
from esper_core.learning.trainer import StepProgress, Update
from esper_core.runs.words import Headline, Words


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_speed_and_what_is_left_follow_from_the_first_step_on(clock: list[float]) -> None:
    pace = Pace(updates=4, steps_per_update=80)
    assert (pace.speed, pace.left, pace.steps, pace.elapsed) == (None, None, 0.0, 0.0)
    for step, seconds in ((0, 1000.0), (20, 2.0)):  # the first after preparing
        clock[0] += seconds
        pace.on_step(StepProgress(1, 4, "collect", step, 40))
    assert (pace.steps, pace.speed, pace.left) == (40.0, 20.0, 14.0)
    pace.on_step(StepProgress(1, 4, "learn", 1, 4))
    assert pace.steps == 80.0


def test_what_a_resumed_run_did_before_tells_no_pace(clock: list[float]) -> None:
    pace = Pace(updates=4, steps_per_update=80, updates_done=2)
    for step in (0, 40):
        pace.on_step(StepProgress(3, 4, "collect", step, 40))
        clock[0] += 2.0
    assert (pace.steps / pace.total, pace.speed, pace.left) == (0.75, 20.0, 4.0)


def test_lines_come_with_every_update_and_seldom_between(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    words = Words([Headline("level", "level reached", "level", "", 2), Headline("return", "return", "return", "", 1)])
    with Lines(words, Pace(updates=2, steps_per_update=8)) as lines:
        for step in range(5):
            lines.on_step(StepProgress(1, 2, "collect", step, 4))
            clock[0] += 1.0
        lines.on_update(Update(1, 8, {"return": 0.5, "level": 0.4, "kl": 0.1}, {}, []))
        lines.warn("beware")
    assert capsys.readouterr().err.splitlines() == [
        "preparing",
        "update 1/2  step 2/16  2.0 steps/s  ETA 0:07",
        "update 1/2  return 0.500  level 0.400",
        "warning: beware",
    ]
