"""Text that a terminal or a page shows as it is, without control characters."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""Return text with control characters, direction marks and undecodable bytes as escape sequences; `\n` stays."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def visible_line(text: str) -> str:
    """Return what `visible` returns, with ends of lines as escape sequences too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
