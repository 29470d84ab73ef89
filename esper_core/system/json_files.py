"""Files of JSON, whole or line by line. What is read may be foreign: it is bounded in size, depth and numbers."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from esper_core.contracts.errors import DamagedFile, EsperError
from esper_core.system.files import append_synced, opened_file, writing

RECORD, LINE = 2**28, 2**24
"""Bytes of a file that is read as a whole, and of a line, at most."""


class Line(NamedTuple):
    """A line of a file: what it holds, and the bytes of the file up to its end."""

    entry: dict[str, Any]
    end: int


# Reading ------------------------------------------------------------------------------------------------------------


def _opened(path: Path) -> BinaryIO:
    # A pipe or a device could block, or never end.
    if path.exists() and not path.is_file():
        raise DamagedFile(f"{path} is not a regular file.", hint="Move it away, or restore the file from a copy.")
    return path.open("rb")


def read_bytes(path: Path, most: int = RECORD) -> bytes:
    """Return the content of a file; raises OSError, and DamagedFile where it is not regular or has more bytes."""
    with _opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise DamagedFile(f"{path} is damaged: it has more than {most:,} bytes.")
        return stream.read(size)


def read_json(path: Path) -> Any:
    """Return what a file of JSON holds; raises as `read_bytes` and `parse_json` do."""
    return parse_json(read_bytes(path), str(path))


def read_lines(path: Path, check: Callable[[dict[str, Any]], object] = lambda entry: None) -> Iterator[Line]:
    """Yield the lines of a file, each a JSON object; a missing file has none.

    A last line without its end is what a killed process leaves behind, and is left out. `check` is called with what a
    line holds; it raises ValueError for what is damaged. Raises DamagedFile, and EsperError where it cannot be read.
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
                        f"{path}:{number}: this line is damaged: {error}.",
                        hint=f"Remove the line if you can do without it (sed -i {number}d {shlex.quote(str(path))}); "
                        "the checkpoints do not depend on it.",
                    ) from error
                yield Line(entry, end)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EsperError(f"{path} cannot be read: {error.strerror or error}.") from error


def parse_json(data: bytes, where: str) -> Any:
    """Return what JSON in UTF-8 holds; raises DamagedFile whose message begins with `where` it was found."""
    try:
        return _parsed(data)
    except ValueError as error:
        raise DamagedFile(f"{where} is damaged: {error}.") from error


def _parsed(data: bytes) -> Any:
    """Return what JSON holds; raises ValueError."""
    try:
        return json.loads(data.decode("utf-8"), parse_float=_finite, parse_constant=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    except RecursionError:
        raise ValueError("it holds too many tables and lists within one another") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


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
    """Append lines of JSON to a file, with null for what is not finite, and wait for the disk; raises EsperError."""
    with writing(path):
        append_synced(path, b"".join(json_bytes(finite(value)) for value in values), within)


def cut(path: Path, length: int, within: Path) -> None:
    """Cut a file to a length, where it is longer, and wait until the disk has done so; raises EsperError."""
    with writing(path), suppress(FileNotFoundError), opened_file(path, os.O_RDWR, within) as descriptor:
        if os.fstat(descriptor).st_size > length:
            os.ftruncate(descriptor, length)
            os.fsync(descriptor)
