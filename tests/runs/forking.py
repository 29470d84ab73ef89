"""A process of its own without a second import of torch: what is called here can be killed there."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import sys
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("fork")


def start(target: Callable[..., Any], *arguments: Any, said: Path | None = None) -> ForkProcess:
    """Call a function in a forked process whose standard streams go to a file, or nowhere."""

    def call() -> None:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        descriptor = os.open(said or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        sys.stdout = sys.stderr = os.fdopen(descriptor, "w", buffering=1)
        target(*arguments)

    # No daemon: it must be allowed to have children of its own.
    process = _CONTEXT.Process(target=call, daemon=False)
    process.start()
    return process


def call(target: Callable[..., Any], *arguments: Any) -> int:
    """Call a function in a forked process; return its exit status, negative for the signal that ended it."""
    process = start(target, *arguments)
    process.join(60)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError("the forked process did not end")
    return process.exitcode


def dying_at(step: int) -> Callable[[], None]:
    """Return a function that kills this process when it is called for the `step`-th time, from 0 on."""
    calls = 0

    def count() -> None:
        nonlocal calls
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1

    return count


def patch_writes(count: Callable[[], None]) -> None:
    """Call `count` before everything that changes a file in this process: the moments at which it can be killed."""

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            count()
            return real(*arguments, **more)

        return call

    for name in ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "ftruncate"):
        setattr(os, name, counted(getattr(os, name)))
    write = os.write

    def torn(descriptor: int, content: Any) -> int:
        """Write half of what was given, be counted, and write the rest."""
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return write(descriptor, content)
        half = write(descriptor, content[: len(content) // 2])
        count()
        return half + write(descriptor, content[half:])

    os.write = torn  # type: ignore[assignment]
