"""The live view of a training run on a terminal: drawn between steps, and so seldom that it costs next to nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve
from rich.console import Console
from rich.live import Live

from esper_core.cli.frame import Picture, board_rows, draw
from esper_core.cli.pace import Pace
from esper_core.contracts.board import Board, HasBoard, checked_board
from esper_core.contracts.errors import PluginError
from esper_core.runs.words import Words, by_place
from esper_core.system.printable import visible_line

if TYPE_CHECKING:
    from esper_core.learning.trainer import StepProgress, Trainer, Update

PATIENCE = 0.25
"""Seconds between frames at least."""

COST = 0.005
"""Share of the time that drawing may take."""

LASTING = 3
"""Warnings shown at once."""


class LiveView:
    """Draws how far a run is and how it is doing; leaves a clean terminal however the run ends."""

    def __init__(self, trainer: Trainer, title: str, words: Words, pace: Pace, console: Console) -> None:
        self._actions, environment = trainer.policy.actions, trainer.environment
        self._shown = environment if isinstance(environment, HasBoard) else None
        self._owner = trainer.owners["environment"]
        self._num_envs = environment.num_envs
        self._pace, self._console = pace, console
        self._picture = Picture(title, 1, pace.updates, phase="preparing")
        self._headlines = by_place(words.everywhere)
        self._curves: dict[str, list[float]] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._next = float("-inf")

    def __enter__(self) -> LiveView:
        self._live.start()
        # A process that is killed shows no cursor again, so it is never hidden.
        self._console.show_cursor(True)
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def on_step(self, progress: StepProgress) -> None:
        """Take in a step within an update."""
        self._pace.on_step(progress)
        if time.monotonic() >= self._next:
            phase = f"{progress.phase} {progress.step}/{progress.steps}"
            self._picture = evolve(self._picture, update=progress.update, phase=phase)
            self._show()

    def on_update(self, update: Update) -> None:
        """Take in a finished update."""
        self._pace.on_update(update.index)
        metrics = update.metrics
        for headline in self._headlines:
            value = metrics.get(headline.name)
            if value is not None:
                self._curves.setdefault(headline.short, []).append(value)
        spec = self._actions
        warnings = [f"{w.threshold}  {w.metric} {w.value:.3g}  since update {w.since}" for w in update.warnings]
        more = len(warnings) - LASTING
        self._picture = evolve(
            self._picture,
            update=update.index,
            phase="",
            curves=self._curves,
            operations=_known(metrics, f"{spec.root}/", spec.ops) if spec.root is not None else {},
            entropies=_known(metrics, "entropy/", [head.name for head in spec.heads]),
            warnings=[*warnings[:LASTING], *([f"{more} more"] if more > 0 else [])],
        )
        self._show()

    def warn(self, message: str) -> None:
        """Say one line that stays, above the view."""
        self._console.print(f"warning: {visible_line(message)}", markup=False, highlight=False, soft_wrap=True)

    def _show(self) -> None:
        begun = time.perf_counter()
        width, height = self._console.size
        # The last line stays free: a view as high as the terminal scrolls.
        height -= 1
        pace = self._pace
        picture = evolve(self._picture, share=pace.share, elapsed=pace.elapsed, left=pace.left, speed=pace.speed)
        picture = evolve(picture, board=self._look(board_rows(picture, height)))
        self._live.update(draw(picture, width, height), refresh=True)
        spent = time.perf_counter() - begun
        self._next = time.monotonic() + max(PATIENCE, spent / COST)

    def _look(self, rows: int) -> Board | None:
        """Return how a few environments are doing, where they say so; one that fails is not asked again."""
        if self._shown is None or rows == 0 or not self._pace.begun:
            return None
        try:
            with self._owner.doing("showing its board"):
                return checked_board(self._owner, self._shown.board(range(min(rows, self._num_envs))))
        except PluginError as error:
            self._shown = None
            self.warn(f"{error.message} The board is not shown.")
            return None


def _known(metrics: Mapping[str, Any], prefix: str, names: Any) -> dict[str, float]:
    """Return the metrics `prefix + name` that are defined, by name."""
    return {name: metrics[prefix + name] for name in names if metrics.get(prefix + name) is not None}
