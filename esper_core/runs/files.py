"""Lines of JSON in the files of a run, written so that a full disk is named."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from esper_core.system.files import append_synced, cut_synced, writing


def finite(value: Any) -> Any:
    """Return `value` with every number that is not finite replaced by None, since JSON knows none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value


def json_line(value: Mapping[str, Any]) -> bytes:
    """Return `value` as one line of JSON, newline included."""
    return json_bytes(finite(value)) + b"\n"


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """Return `value` as JSON in UTF-8; names of files that are no UTF-8 come back as they were when it is read."""
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
    # What cannot be encoded is a lone surrogate, and written with a backslash it is what JSON calls it.
    return text.encode("utf-8", "backslashreplace")


def append_lines(path: Path, values: Iterable[Mapping[str, Any]], within: Path) -> None:
    """Append lines of JSON to a file in a run and wait until the disk has them.

    Args:
        path: The file.
        values: One object per line.
        within: The run, out of which no link is followed.

    Raises:
        EsperError: it cannot be written.
    """
    with writing(path):
        append_synced(path, b"".join(map(json_line, values)), within)


def cut(path: Path, length: int, within: Path) -> None:
    """Cut a file in a run to a length, where it is longer, and wait until the disk knows; raises EsperError."""
    with writing(path):
        cut_synced(path, length, within)
