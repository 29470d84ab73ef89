"""What a page is made of beside charts: heat maps, timelines, chains, tables and pictures.

Nothing here knows about runs or writes markup; the templates do that, and escape whatever they are given.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence

from attrs import field, frozen

SHADES = 6
"""Shades of ordered stages that the style sheet has."""


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
        values: Per row, a value of every column.
        bare: Cells are too many for numbers; they say them when pointed at.
        share: Values are shares of 1, and are printed as percent.
    """

    title: str
    note: str
    corner: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    bare: bool = False
    share: bool = False
    kind: str = field(default="heat", init=False)

    @property
    def size(self) -> str:
        """How much room it needs."""
        return "wide" if self.bare or len(self.columns) > 12 else "half" if len(self.columns) > 3 else "chart"

    def label(self, column: int) -> str:
        """Return the heading of a column; of many bare ones, only some have room for it."""
        every = -(-len(self.columns) // 10) if self.bare else 1
        return self.columns[column] if column % every == 0 else ""

    def depth(self, value: float) -> int:
        """Return how dark a cell is, 0 to 100."""
        largest = 1.0 if self.share else max((v for row in self.values for v in row), default=0.0)
        return round(100 * value / largest) if largest > 0 else 0

    def said(self, value: float) -> str:
        """Return a value as text."""
        return f"{value:.0%}" if self.share else short(value)


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
    """

    title: str
    note: str
    stages: Sequence[str]
    steps: int
    boards: Sequence[Board]
    table: Table
    folded: bool = False
    kind: str = field(default="timeline", init=False)

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
class Table:
    """A plain table; the first column names the rows."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""
    folded: bool = False
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
