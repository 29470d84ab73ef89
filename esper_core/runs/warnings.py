"""The warnings of a run, as its metrics lines tell them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def warning_spans(lines: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the updates at which each warning lasted, and what it said at first, in the order in which they began."""
    last: dict[tuple[int, str, str], int] = {}
    messages: dict[tuple[int, str, str], str] = {}
    for line in lines:
        for warning in line.get("warnings", ()):
            key = (warning["since"], warning["threshold"], warning["metric"])
            messages.setdefault(key, warning["message"])
            last[key] = line["update"]
    spans = [(f"update {key[0]}" if last[key] == key[0] else f"updates {key[0]} to {last[key]}", key) for key in last]
    return [(span, messages[key]) for span, key in spans]
