"""Being asked to stop by the system, as the keyboard does it: through an exception that nothing takes for an error."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

GRACE_SECONDS = 1.5
"""Longest time that a process which was asked to stop may take for the operation in flight and for cleaning up."""


class Terminated(BaseException):
    """SIGTERM has arrived. Like KeyboardInterrupt it is no Exception, so that no plugin's failure hides it."""

    exit_code = 128 + signal.SIGTERM


def raise_on_terminate() -> None:
    """Let SIGTERM raise Terminated in the main thread."""
    signal.signal(signal.SIGTERM, _raise)


def _raise(number: int, _: FrameType | None) -> None:
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def leave(status: int) -> NoReturn:
    """End the process with a status; at once when it was asked to stop, after what is registered for its end.

    Taking torch down takes seconds on a busy machine, and whoever asked does not wait for that.
    """
    if status not in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        sys.exit(status)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


@contextmanager
def stopping_promptly(last_words: Callable[[], str]) -> Iterator[None]:
    """End the process soon after SIGINT or SIGTERM, whatever it is doing within.

    The exception that a signal raises waits for the end of the operation in flight, may be lost in a destructor, and
    cleaning up may hang in somebody's plugin. So a thread that hears of the signal at once waits for `GRACE_SECONDS`,
    writes the last words to standard error and ends the process with the signal's status. A second signal is ignored.

    Args:
        last_words: Returns what to say then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    here, there = os.pipe()
    os.set_blocking(there, False)
    before = signal.set_wakeup_fd(there, warn_on_full_buffer=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def raise_once(number: int, frame: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        _raise(number, frame)

    # A shell lets what it starts in the background ignore Ctrl-C; that stays as it is.
    heard = [number for number, handler in handlers.items() if handler in (_raise, signal.default_int_handler)]
    for number in heard:
        signal.signal(number, raise_once)
    watchdog = threading.Thread(target=_watch, args=(here, heard, last_words), daemon=True, name="esper-stopping")
    watchdog.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        for number in heard:
            signal.signal(number, handlers[number])
        os.write(there, b"\0")
        watchdog.join()
        os.close(here)
        os.close(there)


def _watch(signals: int, heard: list[signal.Signals], last_words: Callable[[], str]) -> None:
    """Read numbers of signals until a 0, or until the time after one that was heard is over."""
    deadline: float | None = None
    code = 0
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([signals], [], [], left)[0]:
            os.write(2, f"\nError: {last_words()}\n".encode())
            os._exit(code)
        number = os.read(signals, 1)[0]
        if number == 0:
            return
        if number in heard and deadline is None:
            deadline, code = time.monotonic() + GRACE_SECONDS, 128 + number
