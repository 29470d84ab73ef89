"""Charts over updates, with their geometry in SVG's units and their numbers as a table.

A plotting library would fix colours and letters when the page is written. Plain SVG takes them from the style sheet, so
that one small page is light and dark, and sharp at any width.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from esper_evaluation.report.figures import Table, Tick, nice_ticks, short, spread

WIDTH, HEIGHT = 380, 210
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 10, 26
"""A chart in its own units, about one per pixel, and the margins of its plot."""

APART = 9
"""Units between points that stand alone at the same place."""

COLOURS = 8
"""Colours of lines that the style sheet has."""

ROWS = 24
"""Rows of a chart's table at most, evenly spread."""


@frozen
class Point:
    """A value at an update, and the interval that it lies in, where one is known."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@frozen
class Line:
    """A named line; None is a gap."""

    name: str
    points: Sequence[Point | None]

    @property
    def last(self) -> float | None:
        """Its last value."""
        return next((point.y for point in reversed(self.points) if point is not None), None)


@frozen
class Mark:
    """Something that happened at a place of the axis, as a sentence and as one character."""

    x: float
    said: str
    sign: str


@frozen
class Stroke:
    """A line as drawn: SVG paths of the line and of its band, and the points that stand alone."""

    colour: int
    path: str
    band: str
    dots: Sequence[tuple[float, float, float | None, float | None]]


@frozen
class LineChart:
    """Lines over updates, or over something else that is counted.

    Attributes:
        title, note: What it shows, and how to read it.
        at: The points' places, shared by all lines.
        axis: What is counted.
        behind: Lines without names or bands that others are compared with.
        marks: Places at which something happened.
        nil: 0 means nothing: it is on the axis where it is near.
    """

    title: str
    note: str
    lines: Sequence[Line]
    at: Sequence[int]
    axis: str = "update"
    behind: Sequence[Line] = ()
    marks: Sequence[Mark] = ()
    nil: bool = True
    kind: str = field(default="lines", init=False)

    @property
    def summary(self) -> str:
        """One sentence for those who do not see it."""
        said = [
            f"{line.name} from {short(first.y)} to {short(line.last)}" for line in self.lines if (first := _first(line))
        ]
        return f"{self.title} over {self.axis}s {self.at[0]} to {self.at[-1]}: {'; '.join(said)}."

    @property
    def x_ticks(self) -> list[Tick]:
        """Updates on the axis."""
        low, high = self.at[0], self.at[-1]
        values = [v for v in nice_ticks(low, high, 5) if v == round(v) and low <= v <= high] if high > low else [low]
        return [Tick(_x(value, self.at), str(round(value))) for value in values]

    @property
    def y_ticks(self) -> list[Tick]:
        """Values on the axis."""
        low, high = self._range()
        return [Tick(_y(v, low, high), label) for v, label in nice_ticks(low, high, 5).items() if low <= v <= high]

    @property
    def strokes(self) -> list[Stroke]:
        """The lines as drawn."""
        low, high = self._range()
        strokes = []
        for colour, line in enumerate(self.lines):
            runs = _runs(line.points)
            path = self._line(runs)
            band = ""
            for run in runs:
                known = [(p.x, p.low, p.high) for p in run if p.low is not None and p.high is not None]
                if len(known) > 1:
                    upper = [(_x(x, self.at), _y(end, low, high)) for x, _, end in known]
                    lower = [(_x(x, self.at), _y(end, low, high)) for x, end, _ in reversed(known)]
                    band += _path(upper + lower) + "Z"
            dots = [
                (
                    # Points of several lines at one place stand side by side.
                    _x(p.x, self.at) + (colour - (len(self.lines) - 1) / 2) * APART,
                    _y(p.y, low, high),
                    None if p.low is None else _y(p.low, low, high),
                    None if p.high is None else _y(p.high, low, high),
                )
                for run in runs
                if len(run) == 1
                for p in run
            ]
            strokes.append(Stroke(colour % COLOURS, path, band, dots))
        return strokes

    @property
    def paths_behind(self) -> list[str]:
        """The lines behind, as SVG paths."""
        return [path for line in self.behind if (path := self._line(_runs(line.points)))]

    @property
    def signs(self) -> list[tuple[float, Mark]]:
        """Where marks are drawn."""
        return [(_x(mark.x, self.at), mark) for mark in self.marks]

    @property
    def table(self) -> Table:
        """Its numbers, evenly spread where there are many."""
        intervals = any(p is not None and p.low is not None for line in self.lines for p in line.points)
        header = [self.axis]
        for line in self.lines:
            header += [line.name, "95 % interval"] if intervals else [line.name]
        rows = []
        for i in spread(len(self.at), ROWS):
            row = [str(self.at[i])]
            for line in self.lines:
                point = line.points[i]
                row.append(short(point.y if point else None))
                if intervals:
                    known = point is not None and point.low is not None
                    row.append(f"{short(point.low)} to {short(point.high)}" if known and point else "–")
            rows.append(row)
        return Table(header, rows)

    def _line(self, runs: Sequence[Sequence[Point]]) -> str:
        low, high = self._range()
        return "".join(_path([(_x(p.x, self.at), _y(p.y, low, high)) for p in run]) for run in runs if len(run) > 1)

    def _range(self) -> tuple[float, float]:
        """Return the ends of the y axis: what is drawn, with a little air, and 0 where near and of meaning."""
        drawn = [p for line in (*self.lines, *self.behind) for p in line.points if p is not None]
        values = [v for p in drawn for v in (p.y, p.low, p.high) if v is not None]
        low, high = min(values), max(values)
        if self.nil and low > 0 and low < 0.6 * high:
            low = 0.0
        if self.nil and high < 0 and high > 0.6 * low:
            high = 0.0
        if low == high:
            return low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
        air = 0.06 * (high - low)
        return low - air * (low != 0), high + air * (high != 0)


@frozen
class ShareChart:
    """Shares of a whole over updates, stacked.

    Attributes:
        title, note: What it shows, and how to read it.
        names: What the shares are of.
        shares: Per name, a share from 0 to 1 at every place.
    """

    title: str
    note: str
    names: Sequence[str]
    shares: Sequence[Sequence[float]]
    at: Sequence[int]
    kind: str = field(default="shares", init=False)

    @property
    def summary(self) -> str:
        """One sentence for those who do not see it."""
        said = [f"{name} {share[-1]:.0%}" for name, share in zip(self.names, self.shares, strict=True)]
        return f"{self.title}, at update {self.at[-1]}: {', '.join(said)}."

    @property
    def lines(self) -> list[Line]:
        """The shares as lines, for the legend."""
        places = zip(self.names, self.shares, strict=True)
        return [Line(n, [Point(x, y) for x, y in zip(self.at, s, strict=True)]) for n, s in places]

    @property
    def x_ticks(self) -> list[Tick]:
        """Updates on the axis, in the middle of their column."""
        wide = (WIDTH - LEFT - RIGHT) / len(self.at)
        return [Tick(round(LEFT + wide * (i + 0.5), 1), str(self.at[i])) for i in spread(len(self.at), 6)]

    @property
    def y_ticks(self) -> list[Tick]:
        """Shares on the axis."""
        return [Tick(_y(v, 0.0, 1.0), f"{v:.0%}") for v in (0.0, 0.25, 0.5, 0.75, 1.0)]

    @property
    def areas(self) -> list[str]:
        """The shares as SVG paths, one on top of the other; a column per place."""
        wide = (WIDTH - LEFT - RIGHT) / len(self.at)
        floor = [0.0] * len(self.at)
        areas = []
        for share in self.shares:
            ceiling = [a + b for a, b in zip(floor, share, strict=True)]
            upper = [(LEFT + wide * (i + e), _y(v, 0.0, 1.0)) for i, v in enumerate(ceiling) for e in (0, 1)]
            lower = [(LEFT + wide * (i + e), _y(v, 0.0, 1.0)) for i, v in enumerate(floor) for e in (0, 1)]
            areas.append(_path(upper + lower[::-1]) + "Z")
            floor = ceiling
        return areas

    @property
    def table(self) -> Table:
        """Its numbers, evenly spread where there are many."""
        rows = [[str(self.at[i]), *(f"{s[i]:.1%}" for s in self.shares)] for i in spread(len(self.at), ROWS)]
        return Table(["update", *self.names], rows)


def _x(value: float, at: Sequence[int]) -> float:
    inner = WIDTH - LEFT - RIGHT
    share = (value - at[0]) / (at[-1] - at[0]) if at[-1] > at[0] else 0.5
    return round(LEFT + inner * share, 1)


def _y(value: float, low: float, high: float) -> float:
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low)), 1)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _runs(points: Sequence[Point | None]) -> list[list[Point]]:
    """Return the stretches between gaps."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _first(line: Line) -> Point | None:
    return next((point for point in line.points if point is not None), None)
