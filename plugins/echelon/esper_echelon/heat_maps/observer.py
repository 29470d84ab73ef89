"""The observer `heat-maps`: where mechs die, take damage and move, as arrays and pictures in the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from esper_core.system.files import make_folder, replace_synced
from esper_core.system.packages import has_package
from esper_echelon.heat_maps.config import HeatMapsConfig
from esper_echelon.heat_maps.spatial import EVENT, SpatialAccumulator, images_wanted

if TYPE_CHECKING:
    from esper_core.learning.trainer import Update
    from esper_core.runs.directory import RunDirectory

_logger = logging.getLogger(__name__)

FOLDER = "heat-maps"
"""Folder of arrays within a run."""

PICTURES = "pictures"
"""Folder of PNGs within a run, which `esper report` shows."""


class HeatMaps:
    """Sums the events of type `spatial`, and every so many updates writes what came of them and begins anew.

    `heat-maps/000051.npz` holds the maps of the updates from 51 on, `pictures/heat-map-*.png` show the last that were
    written. Pictures need matplotlib; without it there are arrays alone. Where a run of Weights & Biases is open, they
    go there too. A resumed run writes what it would have written in one go.
    """

    def __init__(self, config: HeatMapsConfig | None, context: None = None) -> None:
        self.config = config or HeatMapsConfig()
        self._maps = SpatialAccumulator()
        self._matches, self._last = 0, 0

    def on_start(self, run: RunDirectory) -> None:
        """Take in what a resumed run has told since the maps were last begun."""
        self._run = run
        if not has_package("matplotlib"):
            _logger.warning("Heat maps are written without pictures: matplotlib is not installed.")
        self._forget()
        lines = run.metrics()
        self._last = lines[-1]["update"] if lines else 0
        self._remove_later(run.path / FOLDER)
        begun = self._last // self.config.every * self.config.every
        self._take(event for event in run.events() if event["update"] > begun)

    def on_update(self, update: Update) -> None:
        """Add the matches that ended in an update."""
        self._last = update.index
        self._take(update.events)
        if update.index % self.config.every == 0:
            self._write()
            self._forget()

    def on_finish(self, run: RunDirectory) -> None:
        """Write what has come together since."""
        self._write()

    def _take(self, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            if event["type"] == EVENT:
                self._maps.record_event(event)
                self._matches += 1

    def _remove_later(self, folder: Path) -> None:
        """Remove maps of updates that a run which was cut back has not done any more."""
        if not folder.is_symlink():
            for path in folder.glob("[0-9]*.npz"):
                if path.stem.isdigit() and int(path.stem) > self._last:
                    path.unlink()

    def _forget(self) -> None:
        self._maps.reset()
        self._matches = 0

    def _write(self) -> None:
        if not self._matches:
            return
        every, within = self.config.every, self._run.path
        first = (self._last - 1) // every * every + 1
        arrays = self._maps.to_arrays()
        buffer = BytesIO()
        np.savez_compressed(buffer, **arrays, matches=self._matches, updates=(first, self._last))  # type: ignore[arg-type]
        make_folder(within / FOLDER, within)
        replace_synced(within / FOLDER / f"{first:06}.npz", buffer.getvalue(), within)
        if has_package("matplotlib"):
            from esper_echelon.heat_maps.pictures import png

            make_folder(within / PICTURES, within)
            for name, values in arrays.items():
                when = f"updates {first} to {self._last}, {self._matches} matches"
                path = within / PICTURES / f"heat-map-{name.split('_')[0]}.png"
                replace_synced(path, png(values, name, when), within)
        if images_wanted():
            import wandb

            wandb.log({f"heat-maps/{name}": image for name, image in self._maps.to_images().items()}, step=self._last)
