"""How many of so many things are done: a bar on a terminal, a line every few seconds elsewhere; on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from esper_core.cli.frame import bar
from esper_core.cli.output import duration, status_line, warn
from esper_core.cli.progress import SECONDS_BETWEEN_LINES

SECONDS_BETWEEN_BARS = 0.1
WIDTH = 24

Show = Callable[..., None]


@contextmanager
def counting(things: str, told: list[str], *, plain: bool) -> Iterator[tuple[Show, Callable[[str], None]]]:
    """Yield what shows how far something is, and what shows a warning.

    The first takes the number that is done, the number of all, and words for what goes on, which may be left out. What
    it said last, such as "3 of 20 episodes", is in `told`.
    """
    drawn = not plain and sys.stderr.isatty()
    begun, last = time.monotonic(), float("-inf")

    def show(done: float, total: int, what: str = "") -> None:
        nonlocal last
        told[:] = [f"{int(done)} of {total} {things}"]
        now = time.monotonic()
        if now - last < (SECONDS_BETWEEN_BARS if drawn else SECONDS_BETWEEN_LINES) and done < total:
            return
        last = now
        left = f"  ETA {duration((now - begun) * (total - done) / done)}" if done > 0 else ""
        line = f"{told[0]}{left}{f'  {what}' if what else ''}"
        tell(f"{bar(done / total if total else 1.0, WIDTH, '─')} {line}" if drawn else line)

    def warning(message: str) -> None:
        if drawn:
            tell("")
        warn(message)

    with status_line(drawn=drawn) as tell:
        yield show, warning
