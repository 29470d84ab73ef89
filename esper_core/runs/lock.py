"""One process at a time: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from esper_core.contracts.errors import UserError
from esper_core.system.files import opened_file

LOCK_FILE = "lock"

_held: set[int] = set()
"""Descriptors of this process's locks."""


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a run directory's lock within; raises UserError when another process does, or when it cannot be written."""
    with locked_by(run / LOCK_FILE, f"the run {run}"):
        yield


@contextmanager
def locked_by(file: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a file within; raises UserError when another process does, or when it cannot be written.

    The lock is the system's (`flock`), so that no stale one is left behind. The descriptor is closed on exec and in
    forked children: a worker process may outlive a killed run, and must not keep it. `what` says what is worked on;
    with `wait`, for what takes no time, nobody is refused.
    """
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(opened_file(file, os.O_RDWR | os.O_CREAT))
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 300, 0).decode(errors="replace").strip()
            who = f"Process {holder}" if holder else "Another process"
            hint = "Wait until it has ended, or stop it: what it has finished is kept."
            raise UserError(f"{who} works on {what}.", hint=hint) from error
        except OSError as error:
            message = f"{what[0].upper()}{what[1:]} cannot be written: {file}: {error.strerror}."
            raise UserError(message, hint="Make it writable, or copy it.") from error
        _held.add(descriptor)
        stack.callback(_held.discard, descriptor)
        yield


def _let_go() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
