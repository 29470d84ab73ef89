"""Writing small files so that a full disk is reported as what it is."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from esper_core.contracts.errors import EsperError


@contextlib.contextmanager
def writing(path: Path, hint: str = "Make room, or make it writable, and start again.") -> Iterator[None]:
    """Report what the operating system refuses as an EsperError that names `path`."""
    try:
        yield
    except OSError as error:
        raise EsperError(f"{path} cannot be written: {error.strerror or error}.", hint=hint) from error


def finite(value: Any) -> Any:
    """Return `value` with every number that is not finite replaced by None, since JSON knows none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value


def json_line(value: Mapping[str, Any]) -> str:
    """Return `value` as one line of JSON, newline included."""
    return json.dumps(finite(value), allow_nan=False, ensure_ascii=False) + "\n"


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append one line of JSON and wait until the disk has it; raises EsperError when it cannot be written."""
    append_text(path, json_line(value))


def append_text(path: Path, text: str) -> None:
    """Append text to a file and wait until the disk has it; raises EsperError when it cannot be written."""
    with writing(path), path.open("a", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it; raises OSError."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def replace_synced(path: Path, content: bytes) -> None:
    """Replace a file by another content, all of it or nothing; raises OSError."""
    unfinished = path.with_name(f".tmp-{path.name}")
    try:
        write_synced(unfinished, content)
        unfinished.replace(path)
        sync_directory(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Wait until the disk has the entries of a directory; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut(path: Path, length: int) -> None:
    """Cut a file to a length, where it is longer, and wait until the disk knows; raises EsperError."""
    with writing(path):
        if path.exists() and path.stat().st_size > length:
            with path.open("r+b") as stream:
                stream.truncate(length)
                os.fsync(stream.fileno())
