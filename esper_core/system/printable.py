"""Texts that a terminal or a page shows as they are, and does not obey."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return a text with every character that would not be seen written out as an escape sequence.

    Control characters, marks that change the direction of writing and bytes that are no text are written out; ends of
    lines and letters stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def visible_line(text: str) -> str:
    """Return what `visible` returns with ends of lines written out too, so that it stays one line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
