"""What is said on standard error while checks run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from esper_core.cli.output import status_line


@contextmanager
def progress() -> Iterator[Callable[[str, str], None]]:
    """Return a function of a group and a line about one check: a terminal shows every line, else groups are named."""
    terminal, begun = sys.stderr.isatty(), set[str]()
    with status_line() as tell:

        def show(group: str, line: str) -> None:
            if terminal:
                tell(line)
            elif group not in begun:
                tell(f"checking {group}")
            begun.add(group)

        yield show
