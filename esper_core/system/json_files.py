"""Reading JSON that somebody else may have written: from regular files alone, and bounded in size and depth."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from esper_core.contracts.errors import DamagedFile, EsperError

RECORD, LINE = 2**26, 2**24
"""Bytes of a file that is read as a whole, and of a line, at most."""

DEPTH = 100
"""Tables and lists within each other at most."""

DIGITS = 300
"""Digits of a whole number at most; every such number is a finite float."""

_UNUSUAL = re.compile(rb"[eE]\+?\d{3}|\d{300}")
"""What a number that is no finite float has, and few others."""


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: From 1 on.
        entry: What it holds.
        end: Bytes of the file up to its end.
    """

    number: int
    entry: dict[str, Any]
    end: int


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading, and nothing that could wait or never end.

    Raises:
        DamagedFile: a pipe, a device or a folder lies there.
        OSError: there is nothing, or it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedFile(f"{path} is no regular file.", hint="Move it away, or restore the file from a copy.")
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def read_bytes(path: Path, most: int = RECORD) -> bytes:
    """Return the content of a regular file.

    Raises:
        DamagedFile: it is no regular file, or has more bytes than `most`.
        OSError: there is nothing, or it cannot be read.
    """
    with opened(path) as stream:
        # A file of another system may say that it is empty, and go on for ever.
        data = b"" if os.fstat(stream.fileno()).st_size > most else stream.read(most + 1)
        if len(data) > most or os.fstat(stream.fileno()).st_size > most:
            raise DamagedFile(f"{path} is damaged: it has more than {most:,} bytes.")
        return data


def read_json(path: Path, most: int = RECORD) -> Any:
    """Return what a file of JSON holds; raises as `read_bytes` does, and DamagedFile for what is no JSON."""
    return parse_json(read_bytes(path, most), str(path))


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a file, each a JSON object; a missing file has none.

    A last line without its end is what a killed process leaves behind, and is left out.

    Raises:
        DamagedFile: another line is damaged, or the file is no regular one.
        EsperError: the file cannot be read.
    """
    number, end = 0, 0
    try:
        with opened(path) as stream:
            while line := stream.readline(LINE + 1):
                number, end = number + 1, end + len(line)
                if len(line) > LINE:
                    raise damaged_line(path, number, f"it has more than {LINE:,} bytes")
                if line.endswith(b"\n"):
                    yield Line(number, _object(path, number, line), end)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EsperError(f"{path} cannot be read: {error.strerror or error}.") from error


def damaged_line(path: Path, number: int, reason: str) -> DamagedFile:
    """Return what to say of a line of a file."""
    quoted = shlex.quote(str(path))
    return DamagedFile(
        f"{path}:{number}: this line is damaged: {reason}.",
        hint=f"Remove the line if you can do without it (sed -i {number}d {quoted}); "
        "the checkpoints do not depend on it.",
    )


@contextmanager
def damage_in(path: Path, number: int) -> Iterator[None]:
    """Name a line of a file whose content is refused within by a ValueError; raises DamagedFile."""
    try:
        yield
    except ValueError as error:
        raise damaged_line(path, number, _reason(error)) from error


def parse_json(data: bytes, where: str) -> Any:
    """Return what JSON in UTF-8 holds.

    Args:
        data: The JSON.
        where: Where it was found, for messages.

    Raises:
        DamagedFile: it is no JSON, holds a number that is not finite, or is nested too deeply.
    """
    try:
        return _parsed(data)
    except json.JSONDecodeError as error:
        raise DamagedFile(f"{where}:{error.lineno} is damaged: {_reason(error)}.") from error
    except ValueError as error:
        raise DamagedFile(f"{where} is damaged: {_reason(error)}.") from error


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    with damage_in(path, number):
        entry = _parsed(line)
        if not isinstance(entry, dict):
            raise ValueError("it is no table")
    return entry


def _parsed(data: bytes) -> Any:
    """Return what JSON holds; raises ValueError."""
    unusual = _UNUSUAL.search(data) is not None
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_float=_finite if unusual else None,
            parse_int=_whole if unusual else None,
            parse_constant=_refuse,
        )
        if data.count(b"[") + data.count(b"{") > DEPTH and _is_deep(value):
            raise RecursionError
    except RecursionError:
        raise ValueError(f"more than {DEPTH} tables and lists lie within each other") from None
    return value


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON: {error.msg}"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"it holds a number of {len(text)} digits")
    return int(text)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH):
        entries = (entry for node in level for entry in (node.values() if isinstance(node, dict) else node))
        level = [entry for entry in entries if isinstance(entry, dict | list)]
        if not level:
            return False
    return True
