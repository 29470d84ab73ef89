"""What a page is made of beside charts: heat maps, timelines, chains, tables and pictures.

Nothing here knows about runs or writes markup; the templates do that, and escape whatever they are given.
"""

from __future__ import annotations

import math
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from attrs import field, frozen

SHADES = 6
"""Shades of ordered stages that the style sheet has."""


DEEPEST = 62
"""Depth of a cell with two colours at most: text in the page's own colour is legible on it."""


@frozen
class Tick:
    """A place on an axis."""

    at: float
    label: str


@frozen
class HeatMap:
    """A table whose cells are the darker the larger they are.

    Attributes:
        title, note: What it shows, and how to read it.
        corner: What rows and columns are.
        values: Per row, a value of every column; None where there is nothing to say.
        bare: Cells are too many for numbers; they say them when pointed at.
        share: Values are shares of 1, and are printed as percent.
        balanced: Shares of which half is neutral: what is above has one colour, what is below another.
        told: Per row and column, what a cell says when pointed at; its names and value without.
    """

    title: str
    note: str
    corner: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    bare: bool = False
    share: bool = False
    balanced: bool = False
    told: Sequence[Sequence[str]] = ()
    kind: str = field(default="heat", init=False)

    @property
    def size(self) -> str:
        """How much room it needs."""
        return (
            "wide"
            if self.bare or len(self.columns) > (6 if self.balanced else 12)
            else "half"
            if len(self.columns) > 3
            else "chart"
        )

    def label(self, column: int) -> str:
        """Return the heading of a column; of many bare ones, only some have room for it."""
        every = -(-len(self.columns) // 10) if self.bare else 1
        return self.columns[column] if column % every == 0 else ""

    def depth(self, value: float | None) -> int:
        """Return how dark a cell is, 0 to 100."""
        if value is None:
            return 0
        if self.balanced:
            return round(2 * DEEPEST * abs(value - 0.5))
        largest = 1.0 if self.share else max((v for row in self.values for v in row if v is not None), default=0.0)
        return round(100 * value / largest) if largest > 0 else 0

    def below(self, value: float | None) -> bool:
        """Return whether a cell has the other colour."""
        return self.balanced and value is not None and value < 0.5

    def said(self, value: float | None) -> str:
        """Return a value as text."""
        if value is None:
            return ""
        return f"{value:.0%}" if self.share else short(value)

    def pointed(self, row: int, column: int) -> str:
        """Return what a cell says when pointed at."""
        if self.told:
            return self.told[row][column]
        return f"{self.rows[row]}, {self.columns[column]}: {self.said(self.values[row][column])}"


@frozen
class Bar:
    """A stretch of a lane, in percent of its width."""

    left: float
    width: float
    shade: int
    said: str


@frozen
class Lane:
    """One life on a track: a name above its bars."""

    left: float
    width: float
    name: str
    bars: Sequence[Bar]
    ended: str | None


@frozen
class Track:
    """A row of lanes, one after the other."""

    name: str
    lanes: Sequence[Lane]


@frozen
class Board:
    """The tracks of one environment."""

    title: str
    note: str
    tracks: Sequence[Track]


@frozen
class Timeline:
    """Boards that share their axis and their stages.

    Attributes:
        title, note: What it shows, and how to read it.
        stages: Names of the stages, in order; their place is their shade.
        steps: Length of the axis.
        table: The same in words.
        folded: It is shown only when asked for.
        axis: What is counted on the axis.
        named: Tracks have long names.
    """

    title: str
    note: str
    stages: Sequence[str]
    steps: int
    boards: Sequence[Board]
    table: Table
    folded: bool = False
    axis: str = "step"
    named: bool = False
    kind: str = field(default="timeline", init=False)

    @property
    def ends(self) -> bool:
        """Whether anything was removed."""
        return any(lane.ended is not None for board in self.boards for track in board.tracks for lane in track.lanes)

    @property
    def ticks(self) -> list[Tick]:
        """Steps on the axis, in percent."""
        ticks = nice_ticks(0, self.steps, 5).items()
        return [Tick(round(100 * v / self.steps, 2), label) for v, label in ticks if v <= self.steps]


@frozen
class Part:
    """A part of a network: a slot and what it holds, or the host itself."""

    name: str
    holds: str
    facts: Sequence[str]
    shade: int | None


@frozen
class Topology:
    """Networks as chains of parts.

    Attributes:
        title, note: What it shows, and how to read it.
        chains: Heading, note and parts of each network.
    """

    title: str
    note: str
    chains: Sequence[tuple[str, str, Sequence[Part]]]
    kind: str = field(default="topology", init=False)


@frozen
class Link:
    """A text that leads to a file beside the page."""

    text: str
    address: str

    @classmethod
    def to(cls, text: str, target: Path, page: Path) -> Link:
        """Return a link from a page to a file or folder, relative, so that both can move together.

        Args:
            text: What is shown.
            target: Where it leads.
            page: The file in which the link stands.
        """
        # Of a path, no part can be taken for the name of a protocol: it begins with a dot, and colons are quoted.
        return cls(
            text, f"./{quote(os.path.relpath(target.resolve(), page.resolve().parent), errors='surrogateescape')}"
        )


@frozen
class Table:
    """A plain table; the first column names the rows.

    Attributes:
        folded: It is shown only when asked for.
        rigid: Cells are lines, and the names of rows stay in sight when the table is wider than the page.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
    title: str = ""
    note: str = ""
    folded: bool = False
    rigid: bool = False
    kind: str = field(default="table", init=False)


@frozen
class Picture:
    """A picture, and what it shows in words."""

    title: str
    note: str
    content: bytes = field(repr=False)
    kind: str = field(default="picture", init=False)

    @property
    def data(self) -> str:
        """The picture as an address that holds it."""
        return f"data:image/png;base64,{b64encode(self.content).decode()}"


@frozen
class Facts:
    """Names and what they are."""

    title: str
    rows: Mapping[str, str]
    kind: str = field(default="facts", init=False)


@frozen
class Interval:
    """A row of `Intervals`: a name, a value within its interval, and the two in words."""

    name: str
    low: float
    value: float
    high: float
    said: str
    shade: int


@frozen
class Intervals:
    """Values with their intervals, one below the other on one axis.

    Attributes:
        title, note: What it shows, and how to read it.
        shades: What the shades of rows mean, in order.
    """

    title: str
    note: str
    rows: Sequence[Interval]
    shades: Sequence[str]
    kind: str = field(default="intervals", init=False)

    @property
    def ticks(self) -> list[Tick]:
        """Values on the axis, in percent."""
        low, high = self._range
        ticks = nice_ticks(low, high, 6).items()
        return [Tick(self.place(value), label) for value, label in ticks if low <= value <= high]

    def place(self, value: float) -> float:
        """Return where a value lies on the axis, in percent."""
        low, high = self._range
        return round(100 * (value - low) / (high - low), 2)

    @property
    def _range(self) -> tuple[float, float]:
        low, high = min(row.low for row in self.rows), max(row.high for row in self.rows)
        air = 0.03 * (high - low) or 1.0
        return low - air, high + air


@frozen
class Notice:
    """Something that must not be overlooked."""

    title: str
    text: str
    kind: str = field(default="notice", init=False)


def short(value: float | None) -> str:
    """Return a number with three significant digits, those above a thousand as whole ones; '–' for None."""
    if value is None:
        return "–"
    whole = value == round(value) or 1000 <= abs(value) < 1e15
    text = f"{value:,.0f}" if whole and abs(value) < 1e15 else f"{value:.3g}"
    return text.replace("-", "−", 1) if value < 0 else text


def fixed(value: float) -> str:
    """Return a number with three decimals."""
    return f"{value:.3f}".replace("-", "−")


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` indices of `count` things, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def nice_ticks(low: float, high: float, wanted: int) -> dict[float, str]:
    """Return about `wanted` round numbers that cover a range, each with as many decimals as tell them apart."""
    if not high > low:
        return {low: short(low)}
    rough = (high - low) / wanted
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    decimals = max(0, -math.floor(math.log10(step * 1.001)))
    values = [float(f"{i * step:.12g}") for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return {v: f"{v:,.{decimals}f}".replace("-", "−") if decimals <= 6 else short(v) for v in values}
