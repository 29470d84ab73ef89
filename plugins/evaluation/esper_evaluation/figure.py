"""A picture of a comparison: the first outcome over the second, one point per arm with both intervals."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from esper_core.contracts.state import Outcome
from esper_core.system.files import replace_synced, writing
from esper_evaluation.comparison import Comparison
from esper_evaluation.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

SIZE, RESOLUTION = (8.0, 5.5), 150
LEARNED, RULE = "#c0392b", "#2c5f8a"
GAP = 3.0
"""Least distance between two labels, in pixels."""


def draw(comparison: Comparison, learned: Sequence[str], path: Path) -> None:
    """Write a PNG; matplotlib is imported now.

    Args:
        comparison: What is drawn; with one outcome alone arms lie beside each other.
        learned: Arms that come of a policy, drawn in another colour.
        path: Where it is written.

    Raises:
        EsperError: it cannot be written.
    """
    # No pyplot: it looks for a screen, and keeps every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    figure = Figure(figsize=SIZE, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    up, across = comparison.outcomes[0], (*comparison.outcomes[1:2],)
    places = [
        estimates[across[0].name] if across else Estimate(number, number, number)
        for number, estimates in enumerate(comparison.arms.values())
    ]
    middle = (min(x.low for x in places) + max(x.high for x in places)) / 2
    labels = []
    for x, (arm, estimates) in zip(places, comparison.arms.items(), strict=True):
        y = estimates[up.name]
        colour = LEARNED if arm in learned else RULE
        axes.errorbar(
            [x.value], [y.value], xerr=_ends(x), yerr=_ends(y), fmt="o", color=colour, capsize=2, elinewidth=1
        )
        # A label lies towards the middle of the picture, so that none leaves it.
        offset, side = ((6, 4), "left") if x.value <= middle else ((-6, 4), "right")
        label = axes.annotate(
            arm, (x.value, y.value), offset, textcoords="offset points", ha=side, color=colour, fontsize=9
        )
        label.set_path_effects([withStroke(linewidth=3, foreground="white")])
        labels.append(label)
    axes.set_xlabel(_label(across[0]) if across else "arms, the best first")
    axes.set_ylabel(_label(up))
    seeds = len(comparison.seeds)
    axes.set_title(
        f"95 % intervals, {len(comparison.instances)} instances, {seeds} policy seed{'s' * (seeds != 1)}",
        fontsize=10,
    )
    axes.grid(alpha=0.25)
    axes.margins(x=0.12, y=0.12)
    _spread(axes, labels, canvas)
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
    with writing(path):
        replace_synced(path, buffer.getvalue())


def _ends(estimate: Estimate) -> list[list[float]]:
    # Rounding may put an end of the interval on the wrong side of the value.
    return [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]


def _label(outcome: Outcome) -> str:
    name = outcome.name.replace("_", " ")
    location = "mean" if outcome.by_mean else "IQM"
    unit = "" if outcome.unit in ("", *name.split()) else f", {outcome.unit}"
    return f"{name}{unit}, {location} ({'higher' if outcome.higher_is_better else 'lower'} is better)"


def _spread(axes: Axes, labels: Sequence[Annotation], canvas: object) -> None:
    """Move labels down from each other, the highest stays where it is."""
    figure = axes.figure
    figure.set_dpi(RESOLUTION)
    figure.draw_without_rendering()  # type: ignore[union-attr]
    placed: list[tuple[float, float, float, float]] = []
    for label in sorted(labels, key=lambda label: -label.get_window_extent().y0):
        box = label.get_window_extent()
        left, right, bottom, top = box.x0, box.x1, box.y0, box.y1
        for x0, x1, y0, y1 in placed:
            if left < x1 and x0 < right and bottom < y1 + GAP and y0 - GAP < top:
                down = top - (y0 - GAP)
                bottom, top = bottom - down, top - down
        x, y = label.xyann
        label.set_position((x, y + (bottom - box.y0) * 72 / RESOLUTION))
        placed.append((left, right, bottom, top))
