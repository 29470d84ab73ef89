"""Printing: one JSON document for machines, aligned text for people. Nothing is wrapped, and markup is never read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import typer


def say(text: str = "", *, err: bool = False) -> None:
    """Print text for people to standard output or to standard error; control characters in it become visible."""
    typer.echo(visible(text), err=err)


def visible(text: str) -> str:
    """Return a text whose control characters, other than ends of lines, are written out as escape sequences.

    A terminal would obey them, and texts come from files, plugins and users.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print one JSON document."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    # What no encoding knows is part of a file's name, and written with a backslash it is what JSON calls it.
    typer.echo(text.encode("utf-8", "backslashreplace").decode())


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in aligned columns; the last column is as long as it likes."""
    for line in table(header, rows):
        say(line)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of `print_table`."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
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
    if isinstance(value, bool | int):
        return f"{value:,}" if not isinstance(value, bool) else str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def machine_output(wanted: bool) -> Iterator[None]:
    """Keep standard output for the result alone, when a machine reads it: whatever plugins print goes elsewhere."""
    if not wanted:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Yield a function that says on standard error what is going on; on a terminal in one line that is cleared."""
    terminal = sys.stderr.isatty()

    def say(line: str) -> None:
        sys.stderr.write(f"\r\033[K{line}" if terminal else f"{line}\n")
        sys.stderr.flush()

    try:
        yield say
    finally:
        if terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
