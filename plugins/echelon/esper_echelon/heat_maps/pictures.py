"""Pictures of heat maps, drawn with matplotlib, which is imported here and nowhere else."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

TITLES = {"death_locations": "Deaths", "damage_locations": "Damage taken", "movement_density": "Movement"}
INCHES, DOTS = 6, 100


def picture(values: NDArray[np.float32], name: str) -> NDArray[np.uint8]:
    """Return a heat map `[gy, gx]`, divided by its largest value, as uint8 `[height, width, 3]`; y points up."""
    canvas = _draw(values, TITLES.get(name, name))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(values: NDArray[np.float32], name: str, when: str) -> bytes:
    """Return the same as a PNG that says in words what it shows; equal maps give equal bytes."""
    title = TITLES.get(name, name)
    gy, gx = np.unravel_index(int(values.argmax()), values.shape)
    most = f"Most in the cell {gx + 1} from the left and {gy + 1} from below of {len(values)}: {values.max():g}"
    words = f"{title} by place on the map, {when}. {most}, of {values.sum(dtype=np.float64):g} in all."
    buffer = BytesIO()
    _draw(values, f"{title}, {when}").print_png(buffer, metadata={"Software": None, "Description": words})
    return buffer.getvalue()


def _draw(values: NDArray[np.float32], title: str) -> FigureCanvasAgg:
    figure = Figure(figsize=(INCHES, INCHES), dpi=DOTS, layout="constrained")
    axes = figure.add_subplot()
    shown = values / (float(values.max()) or 1.0)
    axes.imshow(shown, cmap="hot", origin="lower", vmin=0, vmax=1, extent=(0, 1, 0, 1))
    axes.set_title(title, fontsize=10)
    axes.set(xlabel="x / side of the map", ylabel="y / side of the map")
    return FigureCanvasAgg(figure)
