"""How far a training run is: a bar on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from esper_core.cli.output import duration

if TYPE_CHECKING:
    from esper_core.learning.trainer import StepProgress

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows steps/s and time left from the first environment step on.

    Args:
        updates: Updates of the run.
        steps_per_update: Environment steps of an update.
        plain: Never draw a bar.
    """

    def __init__(self, updates: int, steps_per_update: int, plain: bool) -> None:
        self.updates, self.steps_per_update = updates, steps_per_update
        self._total = updates * steps_per_update
        self._bar: Any = None
        self._task: Any = None
        self._draw = not plain and sys.stderr.isatty()
        self._begun: float | None = None
        self._first = 0.0
        self._last_line = float("-inf")
        self._summary = ""

    def __enter__(self) -> Progress:
        if self._draw:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.fields[what]}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[pace]}", markup=False),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("", total=self._total, what="preparing", pace="")
            self._bar.start()
        else:
            typer.echo("preparing", err=True)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_step(self, progress: StepProgress) -> None:
        """Take in a step within an update."""
        done = (progress.update - 1) * self.steps_per_update
        if self._begun is None:
            # What comes before the first step is prepared once, or was done by an earlier process: it tells no pace.
            self._begun, self._first = time.monotonic(), done
        share = progress.step / progress.steps if progress.phase == "collect" else 1.0
        self._show(progress.update, done + share * self.steps_per_update)

    def on_update(self, update: int, metrics: dict[str, Any]) -> None:
        """Take in the metrics of a finished update."""
        self._summary = summary(metrics)
        if self._bar is None:
            typer.echo(f"update {update}/{self.updates}  {self._summary}", err=True)
        self._show(update, update * self.steps_per_update)

    def warn(self, message: str) -> None:
        """Say one line that stays, above the bar where there is one."""
        if self._bar is None:
            typer.echo(f"warning: {message}", err=True)
        else:
            self._bar.console.print(f"warning: {message}", markup=False, highlight=False, soft_wrap=True)

    def _show(self, update: int, steps: float) -> None:
        now = time.monotonic()
        elapsed = now - (self._begun or now)
        if steps <= self._first:
            return
        speed = (steps - self._first) / elapsed if elapsed > 0 else 0.0
        left = duration((self._total - steps) / speed) if speed > 0 else "?"
        pace = f"{speed:.1f} steps/s  ETA {left}"
        if self._bar is not None:
            what = f"update {update}/{self.updates}"
            self._bar.update(self._task, completed=steps, what=what, pace=f"{pace}  {self._summary}")
        elif now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            typer.echo(f"update {update}/{self.updates}  step {steps:.0f}/{self._total}  {pace}", err=True)


def summary(metrics: dict[str, Any]) -> str:
    """Return the few metrics that say how an update went; those an environment does not report are left out."""
    parts = []
    for key, label in (("return", "return"), ("gain", "gain"), ("committed_accuracy", "grown")):
        if metrics.get(key) is not None:
            parts.append(f"{label} {metrics[key]:.3f}")
    if metrics.get("static_accuracy") is not None:
        parts.append(f"static {metrics['static_accuracy']:.3f}")
    return "  ".join(parts)
