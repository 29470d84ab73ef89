"""Being asked to stop by the system, as the keyboard does it: through an exception that nothing takes for an error."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from attrs import define

from esper_core.contracts.errors import Interruption, Terminated
from esper_core.system.printable import visible

GRACE_SECONDS = 1.0
"""Longest time that a process which was asked to stop may take for the operation in flight and for cleaning up."""


SECONDS_BETWEEN_TRIES = 0.02

SAFE = ("esper_", "multiprocessing.connection", "subprocess", "selectors")
"""Beginnings of the names of modules that can be interrupted: our own, and those in which processes wait."""


def raise_on_signals() -> None:
    """Let SIGTERM raise Terminated in the main thread, and SIGINT Interruption where it is not ignored."""
    signal.signal(signal.SIGTERM, _raise)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raise)


def _raise(number: int, _: FrameType | None) -> NoReturn:
    raise Terminated if number == signal.SIGTERM else Interruption


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


@define
class _Stop:
    """What a process was asked: `number` is the first signal that arrived, 0 for none."""

    signals: Sequence[int]
    last_words: Callable[[], str]
    number: int = 0
    raised: bool = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise once, where code is interrupted that can bear it."""
        self.number = self.number or number
        module = "" if frame is None else frame.f_globals.get("__name__", "")
        if not self.raised and module.startswith(SAFE):
            self.raised = True
            _raise(self.number, frame)

    def watch(self, pipe: int, main: int) -> None:
        """Read numbers of signals from a pipe until a 0, or until the time after the first request is over."""
        deadline: float | None = None
        while True:
            if select.select([pipe], [], [], None if deadline is None else SECONDS_BETWEEN_TRIES)[0]:
                number = os.read(pipe, 1)[0]
                if number == 0:
                    return
                if deadline is None and number in self.signals:
                    deadline = time.monotonic() + GRACE_SECONDS
                    self.number = self.number or number
            elif not self.raised:
                signal.pthread_kill(main, self.number)
            if deadline is not None and time.monotonic() > deadline:
                for child in multiprocessing.active_children():
                    child.kill()
                os.write(2, f"\n{visible(f'Error: {self.last_words()}')}\n".encode())
                os._exit(128 + self.number)


@contextmanager
def stopping_promptly(last_words: Callable[[], str]) -> Iterator[None]:
    """End the process soon after SIGINT or SIGTERM, whatever it is doing within.

    A signal raises Terminated or Interruption, but only while code runs that is `SAFE`: elsewhere an exception out
    of nowhere is lost in a destructor, becomes another error in the middle of an import, or ends the process from C++.
    A thread therefore hears of the signal at once, repeats it until it was raised, and after `GRACE_SECONDS` says the
    last words on standard error and ends the process with the signal's status. Further signals change nothing.
    """
    main = threading.main_thread()
    if threading.current_thread() is not main or main.ident is None:
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # A shell lets what it starts in the background ignore Ctrl-C; that stays as it is.
    heard = [number for number, handler in handlers.items() if handler in (_raise, signal.default_int_handler)]
    stop = _Stop(heard, last_words)
    here, there = os.pipe()
    os.set_blocking(there, False)
    before = signal.set_wakeup_fd(there, warn_on_full_buffer=False)
    for number in heard:
        signal.signal(number, stop.handle)
    watchdog = threading.Thread(target=stop.watch, args=(here, main.ident), daemon=True, name="esper-stopping")
    watchdog.start()
    try:
        yield
    finally:
        os.write(there, b"\0")
        watchdog.join()
        signal.set_wakeup_fd(before)
        for number in heard:
            signal.signal(number, handlers[number])
        os.close(here)
        os.close(there)
