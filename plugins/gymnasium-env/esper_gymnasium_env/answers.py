"""What `reset` and `step` of an environment return, and how that which they should not return is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ANSWERS = {
    "reset": ("observation", "info"),
    "step": ("observation", "reward", "terminated", "truncated", "info"),
}
"""What each method returns, a tuple; info is a dict."""


def malformed(method: str, answer: Any) -> str | None:
    """Return what is wrong with the form of what a method returned, as a part of a sentence, or None."""
    parts = ANSWERS[method]
    kind, wanted = type(answer).__name__, f"not the tuple ({', '.join(parts)})"
    if not isinstance(answer, tuple | list):
        return f"a {kind} from {method}(), {wanted},"
    if len(answer) != len(parts):
        return f"a {kind} of {len(answer)} from {method}(), {wanted},"
    if not isinstance(answer[-1], Mapping):
        return f"a {type(answer[-1]).__name__} as info from {method}(), not a dict,"
    return None
