"""How far a training run is: a live view on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from esper_core.cli.output import duration, say, warn
from esper_core.cli.pace import Pace
from esper_core.runs.words import Words, by_place

if TYPE_CHECKING:
    from esper_core.cli.live import LiveView
    from esper_core.composition.plan import Plan
    from esper_core.learning.session import Session
    from esper_core.learning.trainer import StepProgress, Update

SECONDS_BETWEEN_LINES = 10.0


def follow(trainer: Session, plan: Plan, words: Words, *, plain: bool) -> Lines | LiveView:
    """Return what shows a run: a live view on a terminal that can, unless plain lines are wanted."""
    pace = Pace(plan.updates, trainer.rollout.num_envs * trainer.rollout.horizon, trainer.updates_done)
    if not plain and sys.stderr.isatty():
        from rich.console import Console

        from esper_core.cli.live import LiveView

        console = Console(stderr=True)
        if not (console.is_dumb_terminal or console.options.ascii_only):
            title = f"{plan.policy}  {plan.slots_said}  {plan.component('environment').name}"
            return LiveView(trainer, title, words, pace, console)
    return Lines(words, pace)


class Lines:
    """Writes a line for every update, and one every few seconds in between."""

    def __init__(self, words: Words, pace: Pace) -> None:
        self._words, self._pace = words, pace
        self._last_line = float("-inf")

    def __enter__(self) -> Lines:
        say("preparing", err=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def on_step(self, progress: StepProgress) -> None:
        """Take in a step within an update."""
        self._pace.on_step(progress)
        now, speed, left = time.monotonic(), self._pace.speed, self._pace.left
        if speed is None or left is None or now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        where = f"update {progress.update}/{self._pace.updates}  step {self._pace.steps:.0f}/{self._pace.total}"
        say(f"{where}  {speed:.1f} steps/s  ETA {duration(left)}", err=True)

    def on_update(self, update: Update) -> None:
        """Take in a finished update."""
        self._pace.on_update(update.index)
        known = [(h.short, update.metrics.get(h.name)) for h in by_place(self._words.everywhere)]
        summary = "  ".join(f"{name} {value:.3f}" for name, value in known if value is not None)
        say(f"update {update.index}/{self._pace.updates}  {summary}", err=True)

    def warn(self, message: str) -> None:
        """Say one line that stays."""
        warn(message)
