"""Files of JSON, whole or line by line. What is read may be foreign: it is bounded in size, depth and numbers."""

from __future__ import annotations

import json
import math
import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from esper_core.contracts.errors import DamagedFile, EsperError
from esper_core.contracts.plain import LONGEST
from esper_core.system.files import append_synced, cut_synced, writing

RECORD, LINE = 2**26, 2**24
"""Bytes of a file that is read as a whole, and of a line, at most."""

DEPTH = 100
"""Tables and lists within one another at most."""


class Line(NamedTuple):
    """A line of a file: its number from 1 on, what it holds, and the bytes of the file up to its end."""

    number: int
    entry: dict[str, Any]
    end: int


# Reading ------------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; a pipe or a device could block, or never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedFile(f"{path} is not a regular file.", hint="Move it away, or restore the file from a copy.")
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def read_bytes(path: Path, most: int = RECORD) -> bytes:
    """Return the content of a regular file.

    Raises:
        DamagedFile: it is not a regular file, or has more bytes than `most`.
        OSError: it is missing or cannot be read.
    """
    with _opened(path) as stream:
        # A file of another system may say that it is empty, and go on for ever.
        data = b"" if os.fstat(stream.fileno()).st_size > most else stream.read(most + 1)
        if len(data) > most or os.fstat(stream.fileno()).st_size > most:
            raise DamagedFile(f"{path} is damaged: it has more than {most:,} bytes.")
        return data


def read_json(path: Path, most: int = RECORD) -> Any:
    """Return what a file of JSON holds; raises as `read_bytes` and `parse_json` do."""
    return parse_json(read_bytes(path, most), str(path))


def read_lines(path: Path, check: Callable[[dict[str, Any]], object] = lambda entry: None) -> Iterator[Line]:
    """Yield the lines of a file, each a JSON object; a missing file has none.

    A last line without its end is what a killed process leaves behind, and is left out.

    Args:
        path: The file.
        check: Called with what a line holds; raises ValueError for what is damaged.

    Raises:
        DamagedFile: a line is damaged, or the file is not a regular one.
        EsperError: the file cannot be read.
    """
    number, end = 0, 0
    try:
        with _opened(path) as stream:
            while line := stream.readline(LINE + 1):
                number, end = number + 1, end + len(line)
                try:
                    if len(line) > LINE:
                        raise ValueError(f"it has more than {LINE:,} bytes")
                    if not line.endswith(b"\n"):
                        return
                    entry = _parsed(line)
                    if not isinstance(entry, dict):
                        raise ValueError("it is not a table")
                    check(entry)
                except ValueError as error:
                    raise DamagedFile(
                        f"{path}:{number}: this line is damaged: {_reason(error)}.",
                        hint=f"Remove the line if you can do without it (sed -i {number}d {shlex.quote(str(path))}); "
                        "the checkpoints do not depend on it.",
                    ) from error
                yield Line(number, entry, end)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EsperError(f"{path} cannot be read: {error.strerror or error}.") from error


def parse_json(data: bytes, where: str) -> Any:
    """Return what JSON in UTF-8 holds.

    Raises:
        DamagedFile: it is not JSON, holds a number that is not finite, or is nested too deeply; the message begins
            with `where` it was found.
    """
    try:
        return _parsed(data)
    except ValueError as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DamagedFile(f"{where}{line} is damaged: {_reason(error)}.") from error


def _parsed(data: bytes) -> Any:
    """Return what JSON holds; raises ValueError."""
    try:
        value = json.loads(data.decode("utf-8"), parse_float=_finite, parse_int=_integer, parse_constant=_refuse)
        if data.count(b"[") + data.count(b"{") > DEPTH and _is_deep(value):
            raise RecursionError
    except RecursionError:
        raise ValueError(f"it holds more than {DEPTH} tables and lists within one another") from None
    return value


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON: {error.msg}"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _integer(text: str) -> int:
    if len(text) > LONGEST:
        raise ValueError(f"it holds a number of {len(text)} digits")
    return int(text)


def _is_deep(value: Any, left: int = DEPTH) -> bool:
    if not isinstance(value, dict | list):
        return False
    entries = value.values() if isinstance(value, dict) else value
    return left == 0 or any(_is_deep(entry, left - 1) for entry in entries)


# Writing ------------------------------------------------------------------------------------------------------------


def finite(value: Any) -> Any:
    """Return `value` with every number that is not finite replaced by None, since JSON knows none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """Return `value` as JSON in UTF-8 that ends a line; file names that are not UTF-8 survive reading it."""
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False) + "\n"
    # What cannot be encoded is a lone surrogate, and written with a backslash it is what JSON calls it.
    return text.encode("utf-8", "backslashreplace")


def append_lines(path: Path, values: Iterable[Mapping[str, Any]], within: Path) -> None:
    """Append lines of JSON to a file and wait until the disk has them; numbers that are not finite become null.

    No link below `within` is followed. Raises EsperError.
    """
    with writing(path):
        append_synced(path, b"".join(json_bytes(finite(value)) for value in values), within)


def cut(path: Path, length: int, within: Path) -> None:
    """Cut a file to a length, where it is longer, and wait until the disk has done so; raises EsperError."""
    with writing(path):
        cut_synced(path, length, within)
