"""Printing: one JSON document for machines, aligned text for people. Nothing is wrapped, and markup is never read."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from esper_core.cli import document
from esper_core.cli.document import OutputError
from esper_core.system.printable import visible, visible_line


def say(*lines: str, err: bool = False) -> None:
    """Print lines for people to standard output or to standard error; without any, an empty one.

    What a terminal would obey is written out, ends of lines too: every argument is one line, whatever it holds.
    """
    text = "".join(f"{visible_line(line)}\n" for line in lines or ("",))
    (document.write_error if err else document.write)(text)


def warn(message: str) -> None:
    """Print a warning to standard error."""
    say(f"warning: {message}", err=True)


def paragraph(text: str) -> list[str]:
    """Return the lines of a text; those after the first are indented, so that none passes for a text of its own."""
    first, *rest = text.rstrip("\n").split("\n")
    return [first, *(f"  {line}" if line and not line.startswith(" ") else line for line in rest)]


class Visible(logging.Formatter):
    """Formats what is logged as `say` prints lines; modules, compilers and libraries are quoted in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a message, its traceback included, with control characters written out."""
        return visible(super().format(record))


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print one JSON document in ASCII, which every terminal and every encoding bears; raises OutputError."""
    document.write(json.dumps(value, indent=indent, allow_nan=False) + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in aligned columns; the last column is as long as it likes."""
    say(*table(header, rows))


@contextmanager
def kept(what: str) -> Iterator[None]:
    """Say what is kept when standard output cannot be written within."""
    try:
        yield
    except OutputError as error:
        error.hint = what
        raise


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of `print_table`."""
    cells = [[visible_line(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        yield "  ".join([*padded, row[-1]]).rstrip()


def duration(seconds: float) -> str:
    """Return a time such as `3:07` or `1:02:45`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: object) -> str:
    """Return a number with a few significant digits; '-' for None."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def status_line(*, drawn: bool = True) -> Iterator[Callable[[str], None]]:
    """Yield a function that says on standard error what is going on; on a terminal in one line, which is cleared."""
    terminal = drawn and sys.stderr.isatty()

    def show(line: str) -> None:
        document.write_error(f"\r\033[K{visible_line(line)}" if terminal else f"{visible_line(line)}\n")

    try:
        yield show
    finally:
        if terminal:
            document.write_error("\r\033[K")
