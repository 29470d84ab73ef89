"""What a caller in Python sees of a run: functions that are called, a log, and a bar in a notebook."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define

from esper_core.api.watching import View

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.learning.session import Session
    from esper_core.learning.trainer import StepProgress, Update
    from esper_core.runs.directory import RunDirectory

_logger = logging.getLogger("esper")

NOTEBOOK = "ZMQInteractiveShell"
"""Class of the shell that a notebook runs in."""


@define
class Callbacks:
    """Calls a caller's functions; warnings are logged."""

    _on_update: Callable[[Update], object] | None
    _on_step: Callable[[StepProgress], object] | None
    _bar: Any = None

    @classmethod
    def view(
        cls,
        on_update: Callable[[Update], object] | None,
        on_step: Callable[[StepProgress], object] | None,
        *,
        bar: bool,
    ) -> View:
        """Return what makes a viewer of a run; with a bar where that is wanted and this is a notebook."""

        @contextmanager
        def viewing(trainer: Session, plan: Plan, run: RunDirectory) -> Iterator[Callbacks]:
            drawn = draw_bar(plan.updates, trainer.updates_done) if bar and in_notebook() else None
            yield cls(on_update, on_step, drawn)

        return viewing

    def on_step(self, progress: StepProgress) -> None:
        """Show a step within an update."""
        if self._bar is not None and progress.phase == "collect":
            self._bar.progress = progress.update - 1 + progress.step / progress.steps
        if self._on_step is not None:
            self._on_step(progress)

    def on_update(self, update: Update) -> None:
        """Show an update that has been written down."""
        if self._bar is not None:
            self._bar.progress = update.index
        if self._on_update is not None:
            self._on_update(update)

    def warn(self, message: str) -> None:
        """Log a warning."""
        _logger.warning("%s", message)


def in_notebook() -> bool:
    """Return whether this code runs in a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == NOTEBOOK


def draw_bar(total: int, done: int) -> Any:
    """Draw a bar of a notebook; setting its `progress` draws it again."""
    bar = importlib.import_module("IPython.display").ProgressBar(total)
    bar.display()
    bar.progress = done
    return bar
