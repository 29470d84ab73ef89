"""The live view of a training run on a terminal: drawn between steps, and so seldom that it costs next to nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live

from esper_core.cli.frame import Picture, draw
from esper_core.cli.pace import Pace
from esper_core.contracts.board import Board, HasBoard, checked_board
from esper_core.contracts.errors import PluginError
from esper_core.runs.words import Words, by_place
from esper_core.system.printable import visible_line

if TYPE_CHECKING:
    from esper_core.learning.session import Session
    from esper_core.learning.trainer import StepProgress, Update

PATIENCE = 0.25
"""Seconds between frames at least."""

COST = 0.005
"""Share of the time that drawing may take."""

LASTING = 3
"""Warnings shown at once."""


class LiveView:
    """Draws how far a run is and how it is doing; leaves a clean terminal however the run ends."""

    def __init__(self, trainer: Session, title: str, words: Words, pace: Pace, console: Console) -> None:
        self._actions, self._trainer = trainer.policy.actions, trainer
        self._owner, self._has_board = trainer.owners["environment"], True
        self._pace, self._console = pace, console
        self._picture = Picture(title, pace, self._board)
        self._headlines = by_place(words.everywhere)
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
        """Show a step within an update, when it is time for a frame."""
        self._pace.on_step(progress)
        if time.monotonic() >= self._next:
            self._picture.update = progress.update
            self._picture.phase = f"{progress.phase} {progress.step}/{progress.steps}"
            self._show()

    def on_update(self, update: Update) -> None:
        """Show a finished update."""
        self._pace.on_update(update.index)
        picture, metrics, spec = self._picture, update.metrics, self._actions

        def known(prefix: str, names: Any) -> dict[str, float]:
            values = {name: metrics.get(prefix + name) for name in names}
            return {name: value for name, value in values.items() if value is not None}

        picture.update, picture.phase = update.index, ""
        for headline in self._headlines:
            if (value := metrics.get(headline.name)) is not None:
                picture.curves.setdefault(headline.short, []).append(value)
        picture.operations = known(f"{spec.root}/", spec.ops) if spec.root is not None else {}
        picture.entropies = known("entropy/", [head.name for head in spec.categorical])
        # Numbers have no entropy between 0 and 1, so their deviations are drawn over the updates.
        for name, value in known("std/", [head.name for head in spec.continuous]).items():
            picture.curves.setdefault(f"std {name}"[:12], []).append(value)
        warnings = [f"{w.threshold}  {w.metric} {w.value:.3g}  since update {w.since}" for w in update.warnings]
        more = [f"{len(warnings) - LASTING} more"] if len(warnings) > LASTING else []
        picture.warnings = [*warnings[:LASTING], *more]
        self._show()

    def warn(self, message: str) -> None:
        """Print one line that stays, above the view."""
        self._console.print(f"warning: {visible_line(message)}", markup=False, highlight=False, soft_wrap=True)

    def _show(self) -> None:
        begun = time.perf_counter()
        width, height = self._console.size
        # The last line stays free: a view as high as the terminal scrolls.
        self._live.update(draw(self._picture, width, height - 1), refresh=True)
        spent = time.perf_counter() - begun
        self._next = time.monotonic() + max(PATIENCE, spent / COST)

    def _board(self, rows: int) -> Board | None:
        """Return how at most `rows` environments are doing, where they say so; one that fails is not asked again."""
        environment: object = self._trainer.environment
        if not (self._has_board and isinstance(environment, HasBoard)) or self._pace.begun is None:
            return None
        try:
            with self._owner.doing("showing its board"):
                envs = range(min(rows, self._trainer.environment.num_envs))
                return checked_board(self._owner, environment.board(envs))
        except PluginError as error:
            self._has_board = False
            self.warn(f"{error.message} The board is not shown.")
            return None
