"""Markdown: paragraphs, tables, and docstrings as lists."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

NOTE = "<!-- Written by `make docs` from the code; change it there. -->"


def signature(function: Callable[..., Any]) -> str:
    """Return the first line of a function's definition, as written."""
    return f"def {function.__name__}{str(inspect.signature(function)).replace(chr(39), '')}"


def code(text: str) -> str:
    """Return a block of Python."""
    return f"```python\n{text}\n```"


def docstring(thing: Any) -> str:
    """Return a docstring as Markdown: sections become bold words, their entries lists."""
    lines: list[str] = []
    in_section = False
    for line in (inspect.getdoc(thing) or "").splitlines():
        if line in ("Args:", "Attributes:", "Raises:", "Returns:"):
            lines += [f"**{line[:-1]}**", ""]
            in_section = True
        elif in_section and line.startswith("    ") and not line.startswith("     "):
            name, colon, meaning = line.strip().partition(": ")
            lines.append(f"- `{name}`: {meaning}" if colon else f"- {line.strip()}")
        else:
            lines.append(f"  {line.strip()}" if in_section and line else line)
    return "\n".join(lines).strip()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = (header, tuple("---" for _ in header), *rows)
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)


def paragraph(text: str) -> str:
    """Return a text in lines of readable length; what stands between backticks stays in one."""
    glued = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    lines = textwrap.fill(glued, 120, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\N{NO-BREAK SPACE}", " ")


def document(*blocks: str) -> str:
    """Return blocks as one text."""
    return "\n\n".join(filter(None, blocks)) + "\n"
