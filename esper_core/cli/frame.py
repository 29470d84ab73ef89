"""One frame of the live view: lines of text that fit a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

from attrs import define, field
from rich.text import Text

from esper_core.cli.output import duration
from esper_core.cli.pace import Pace
from esper_core.contracts.board import Board
from esper_core.system.printable import visible_line

BAR = " ▏▎▍▌▋▊▉█"
SPARK = "▁▂▃▄▅▆▇█"
STYLES = {"idle": "dim", "active": "yellow", "good": "green", "bad": "red"}
ROW_LABEL, CELL = 15, 11
"""Columns for the name of an environment, and for a cell at least."""
MOST_ROWS = 4


@define
class Picture:
    """What a frame shows; what is empty is left out.

    Attributes:
        board: How a number of environments are doing, at most as many as are asked for.
        update, phase: The update being worked on, and what it is doing, such as `collect 12/40`.
        curves: Label → values over the updates, oldest first.
        operations: Label → share of steps.
        entropies: Head → normalised entropy.
    """

    title: str
    pace: Pace
    board: Callable[[int], Board | None]
    update: int = 1
    phase: str = "preparing"
    curves: dict[str, list[float]] = field(factory=dict)
    operations: Mapping[str, float] = field(factory=dict)
    entropies: Mapping[str, float] = field(factory=dict)
    warnings: Sequence[str] = ()


def draw(picture: Picture, width: int, height: int) -> Text:
    """Return a frame of at most `height` lines of at most `width` columns; sections that do not fit are left out."""
    half = (width - 2) // 2
    curves = _curves(picture.curves, half)
    operations = _gauges("operations", picture.operations, "4.0%", "cyan", half)
    entropies = _gauges("entropy left", picture.entropies, "4.2f", "magenta", half)
    lines = _head(picture, width)
    above = [_beside(curves[::2], curves[1::2], half), _beside(operations, entropies, half)]
    warnings = [Text(f"! {warning}", style="red") for warning in picture.warnings]
    used = len(lines) + sum(1 + len(section) for section in (*above, warnings) if section)
    # Two lines for each environment, under an empty line and one of names.
    rows = min(MOST_ROWS, (height - used - 2) // 2)
    board = picture.board(rows) if rows > 0 else None
    for section in (*above, _board(board, width) if board and board.rows else [], warnings):
        if section and len(lines) + 1 + len(section) <= height:
            lines += [Text(), *section]
    for line in lines:
        line.plain = visible_line(line.plain)
        line.truncate(width)
    return Text("\n", no_wrap=True, end="").join(lines)


def _head(picture: Picture, width: int) -> list[Text]:
    pace = picture.pace
    right = f"update {picture.update}/{pace.updates}"
    right += f"  {picture.phase}" if picture.phase else ""
    right += f"  {pace.speed:.1f} steps/s" if pace.speed is not None else ""
    right += f"  ETA {duration(pace.left)}" if pace.left is not None else ""
    title = Text(picture.title, style="bold")
    title.truncate(max(0, width - len(right) - 2), overflow="ellipsis", pad=True)
    share = pace.steps / pace.total
    percent = f" {share:4.0%}  {duration(pace.elapsed)}"
    done = bar(share, width - len(percent), "─")
    return [Text.assemble(title, "  ", right), Text.assemble((done, "green"), percent)]


def _curves(curves: Mapping[str, Sequence[float]], width: int) -> list[Text]:
    """Return a line per curve; two beside each other have one scale, so that they can be compared."""
    entries = [(label, values[-max(1, width - 22) :]) for label, values in curves.items()]
    lines = []
    for i, (label, values) in enumerate(entries):
        both = [value for _, beside in entries[i - i % 2 : i - i % 2 + 2] for value in beside]
        low, high = min(both), max(both)
        spark = "".join(_block((value - low) / (high - low) if high > low else 0.5) for value in values)
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
    for line in left:
        line.truncate(half, pad=True)
    return [Text.assemble(one, "  ", other) for one, other in zip_longest(left, right, fillvalue=Text(" " * half))]


def _board(board: Board, width: int) -> list[Text]:
    fitting = max(1, (width - ROW_LABEL) // CELL)
    more = len(board.places) - fitting
    room = (width - ROW_LABEL) // max(1, min(fitting, len(board.places)))
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
    full, part = divmod(round(min(1.0, max(0.0, share)) * room * 8), 8)
    return (BAR[8] * full + (BAR[part] if part else "")).ljust(max(0, room), rest)


def _block(share: float) -> str:
    return SPARK[min(len(SPARK) - 1, int(min(1.0, max(0.0, share)) * len(SPARK)))]
