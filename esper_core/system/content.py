"""JSON-able content: a digest of it, and in words how two differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

MOST = 200
"""Characters of a value that are shown, at most."""


def digest(content: Mapping[str, Any]) -> str:
    """Return a short digest of what can be written as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def differences(before: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is another in `here` than `before`, such as "torch was 2.13 and is 2.14", also in tables in tables."""
    for name in dict.fromkeys((*here, *before)):
        there, now = before.get(name), here.get(name)
        if isinstance(there, Mapping) and isinstance(now, Mapping):
            yield from differences(there, now)
        elif there != now:
            yield f"{name} was {_shown(there)} and is {_shown(now)}"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = " ".join(map(_shown, value)) or "none"
    text = "nothing" if value is None else str(value)
    return text if len(text) <= MOST else f"{text[:MOST]}…"
