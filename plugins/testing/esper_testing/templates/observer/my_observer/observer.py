"""The observer `my-observer`: some metrics of every update as a table, `my-observer.csv` in the run's folder."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from esper_core.system.files import append_synced
from my_observer.config import MyObserverConfig

if TYPE_CHECKING:
    from esper_core.learning.trainer import Update
    from esper_core.runs.directory import RunDirectory


class MyObserver:
    """Kind `observer`. What it is shown belongs to others too: it looks, and changes nothing."""

    def __init__(self, config: MyObserverConfig, context: None = None) -> None:
        self.config = config
        self._file = Path()

    def on_start(self, run: RunDirectory) -> None:
        """Begin the table; a run that is resumed goes on with the one it has."""
        self._file = run.path / "my-observer.csv"
        if not self._file.exists():
            self._append(["update", *self.config.metrics])

    def on_update(self, update: Update) -> None:
        """Add a row; a metric that this update lacks leaves its cell empty."""
        # Opened and closed for every row, so that the table is complete whenever somebody looks.
        self._append([update.index, *(update.metrics.get(name) for name in self.config.metrics)])

    def on_finish(self, run: RunDirectory) -> None:
        """Every row is written already."""

    def _append(self, cells: list[object]) -> None:
        row = io.StringIO()
        csv.writer(row).writerow(cells)
        append_synced(self._file, row.getvalue().encode())
