"""Pictures of heat maps, drawn with matplotlib, which is imported here and nowhere else."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

TITLES = {"death_locations": "deaths", "damage_locations": "damage taken", "movement_density": "movement"}
INCHES, DOTS = 6, 100


def picture(values: NDArray[np.float32], name: str) -> NDArray[np.uint8]:
    """Return a heat map `[gy, gx]`, divided by its largest value, as uint8 `[height, width, 3]`; y points up."""
    canvas = _draw(values, name)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(values: NDArray[np.float32], name: str) -> bytes:
    """Return the same as a PNG; equal maps give equal bytes."""
    buffer = BytesIO()
    _draw(values, name).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def write_png(path: Path, values: NDArray[np.float32], name: str) -> None:
    """Write the same to a file."""
    path.write_bytes(png(values, name))


def _draw(values: NDArray[np.float32], name: str) -> FigureCanvasAgg:
    figure = Figure(figsize=(INCHES, INCHES), dpi=DOTS, layout="constrained")
    axes = figure.add_subplot()
    largest = float(values.max())
    axes.imshow(values / (largest or 1.0), cmap="hot", origin="lower", vmin=0, vmax=1, extent=(0, 1, 0, 1))
    axes.set(title=f"{TITLES.get(name, name)}: brightest {largest:g}", xlabel="x / map", ylabel="y / map")
    return FigureCanvasAgg(figure)
