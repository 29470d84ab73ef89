"""One frame of the live view: lines of text that fit a terminal, drawn from numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from attrs import field, frozen
from rich.text import Text

from esper_core.cli.output import duration
from esper_core.contracts.board import Board
from esper_core.system.printable import visible_line

BAR = " ▏▎▍▌▋▊▉█"
SPARK = "▁▂▃▄▅▆▇█"
STYLES = {"idle": "dim", "active": "yellow", "good": "green", "bad": "red"}
ROW_LABEL = 15
"""Columns for the name of an environment."""
CELL = 11
"""Columns that a cell needs at least."""


@frozen
class Picture:
    """What a frame shows; what is empty or None is left out.

    Attributes:
        update, updates: Number of the update being worked on, and of the last one.
        phase: What it is doing, such as `collect 12/40`.
        share: Share of the whole run that is done.
        elapsed, left: Seconds since the first step, and to go.
        speed: Environment steps per second.
        curves: Label → values over the updates, oldest first.
        operations: Label → share of steps.
        entropies: Head → normalised entropy.
    """

    title: str
    update: int
    updates: int
    phase: str = ""
    share: float = 0.0
    elapsed: float = 0.0
    left: float | None = None
    speed: float | None = None
    curves: Mapping[str, Sequence[float]] = field(factory=dict)
    operations: Mapping[str, float] = field(factory=dict)
    entropies: Mapping[str, float] = field(factory=dict)
    board: Board | None = None
    warnings: Sequence[str] = ()


def draw(picture: Picture, width: int, height: int) -> Text:
    """Return a frame of at most `height` lines of at most `width` columns; sections that do not fit are left out."""
    lines = _head(picture, width)
    half = (width - 2) // 2
    curves = _curves(picture.curves, half)
    operations = _gauges("operations", picture.operations, "4.0%", "cyan", half)
    entropies = _gauges("entropy left", picture.entropies, "4.2f", "magenta", half)
    sections = [
        _beside(curves[::2], curves[1::2], half),
        _beside(operations, entropies, half),
        _board(picture.board, width) if picture.board is not None else [],
        [Text(f"! {warning}", style="red") for warning in picture.warnings],
    ]
    for section in sections:
        if section and len(lines) + 1 + len(section) <= height:
            lines += [Text(), *section]
    for line in lines:
        if not line.plain.isprintable():
            line.plain = visible_line(line.plain)
        line.truncate(width)
    return Text("\n", no_wrap=True, end="").join(lines)


def board_rows(picture: Picture, height: int) -> int:
    """Return how many environments fit on the board of a frame: two lines each, under one line of names."""
    used = 2 + 1 + (len(picture.curves) + 1) // 2
    used += 2 + max(len(picture.operations), len(picture.entropies)) if picture.operations or picture.entropies else 0
    used += 1 + len(picture.warnings) if picture.warnings else 0
    return max(0, min(4, (height - used - 2) // 2))


def _head(picture: Picture, width: int) -> list[Text]:
    pace = [f"update {picture.update}/{picture.updates}", picture.phase]
    pace += [f"{picture.speed:.1f} steps/s"] if picture.speed is not None else []
    pace += [f"ETA {duration(picture.left)}"] if picture.left is not None else []
    right = "  ".join(filter(None, pace))
    room = max(0, width - len(right) - 2)
    title = Text(picture.title, style="bold")
    title.truncate(room, overflow="ellipsis", pad=True)
    percent = f" {picture.share:4.0%}  {duration(picture.elapsed)}"
    done = bar(picture.share, width - len(percent), "─")
    return [Text.assemble(title, "  ", right), Text.assemble((done, "green"), percent)]


def _curves(curves: Mapping[str, Sequence[float]], width: int) -> list[Text]:
    """Return a line per curve; two beside each other have one scale, so that they can be compared."""
    lines, entries, room = [], list(curves.items()), max(1, width - 22)
    for first in range(0, len(entries), 2):
        pair = [(label, values[-room:]) for label, values in entries[first : first + 2]]
        every = [value for _, values in pair for value in values]
        for label, values in pair:
            spark = _spark(values, min(every), max(every))
            lines.append(Text.assemble(f"{label:12}", (f"{values[-1]:7.3f}  ", "bold"), (spark, "cyan")))
    return lines


def _gauges(title: str, values: Mapping[str, float], said: str, style: str, width: int) -> list[Text]:
    """Return a title and a bar for every value, with the value as `said` formats it; nothing without any."""
    longest = max(map(len, values), default=0)
    lines = [
        Text.assemble(f"{label:{longest}} {value:{said}} ", (bar(value, width - longest - 7), style))
        for label, value in values.items()
    ]
    return [Text(title, style="bold"), *lines] if lines else []


def _beside(left: list[Text], right: list[Text], half: int) -> list[Text]:
    """Return two columns of lines as one; a column that is empty leaves its room to the other."""
    if not left or not right:
        return left or right
    for line in (left := [*left, *(Text() for _ in right[len(left) :])]):
        line.truncate(half, pad=True)
    return [Text.assemble(one, "  ", other) for one, other in zip_longest(left, right, fillvalue=Text())]


def _board(board: Board, width: int) -> list[Text]:
    if not board.rows:
        return []
    fitting = max(1, (width - ROW_LABEL) // CELL)
    more = len(board.places) - fitting
    room = (width - ROW_LABEL) // min(fitting, len(board.places))
    header = "".join(_cut(place, room) for place in board.places[:fitting])
    lines = [Text.assemble((_cut(f"+{more} more" if more > 0 else "", ROW_LABEL), "dim"), (header, "bold"))]
    for row in board.rows:
        first, second = Text(_cut(row.label, ROW_LABEL)), Text.assemble((_cut(row.text, ROW_LABEL), "dim"))
        for cell in row.cells[:fitting]:
            first.append(_cut(cell.content or "·", room), "" if cell.content else "dim")
            level = "" if cell.level is None else f" {_block(cell.level)}"
            state = f"{cell.state[: room - 1 - len(level)].lower()}{level}"
            second.append(_cut(state, room), STYLES.get(cell.tone, ""))
        lines += [first, second]
    return lines


def _cut(text: str, room: int) -> str:
    """Return a text in exactly `room` columns, the last of them empty."""
    return f"{text if len(text) < room else text[: room - 2] + '…':{room}}"


def bar(share: float, room: int, rest: str = " ") -> str:
    """Return a bar in exactly `room` columns."""
    eighths = round(min(1.0, max(0.0, share)) * room * 8)
    full, part = divmod(eighths, 8)
    return (BAR[8] * full + (BAR[part] if part else "")).ljust(max(0, room), rest)


def _block(share: float) -> str:
    return SPARK[min(len(SPARK) - 1, int(min(1.0, max(0.0, share)) * len(SPARK)))]


def _spark(values: Sequence[float], low: float, high: float) -> str:
    """Return values as a small curve between a lowest and a highest."""
    return "".join(_block((value - low) / (high - low) if high > low else 0.5) for value in values)
