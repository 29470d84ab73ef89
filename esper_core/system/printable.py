"""Text that a terminal or a page shows as it is, without control characters."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""Return text with control characters, direction marks and undecodable bytes as escape sequences; `\n` stays."""
    return "\n".join(map(visible_line, text.split("\n")))


def visible_line(text: str) -> str:
    """Return what `visible` returns, with ends of lines as escape sequences too."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
