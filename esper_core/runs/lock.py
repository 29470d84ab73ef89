"""One process per run directory: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esper_core.contracts.errors import UserError
from esper_core.system.files import open_file

LOCK_FILE = "lock"

_held: set[int] = set()
"""Descriptors of this process's locks."""


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a run directory's lock within; raises UserError when another process does, or when it cannot be written.

    The lock is the system's (`flock`), so that no stale one is left behind. The descriptor is closed on exec and in
    forked children: a worker process may outlive a killed run, and must not keep it.
    """
    path = run / LOCK_FILE
    try:
        descriptor = open_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise _not_writable(run, path, error) from error
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        except BlockingIOError as error:
            raise _refusal(run, os.pread(descriptor, 300, 0).decode(errors="replace")) from error
        except OSError as error:
            raise _not_writable(run, path, error) from error
        yield
    finally:
        if descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)


def _not_writable(run: Path, path: Path, error: OSError) -> UserError:
    message = f"The run {run} cannot be written: {path}: {error.strerror}."
    return UserError(message, hint="Make it writable, or copy it.")


def _refusal(run: Path, holder: str) -> UserError:
    pid, _, machine = holder.strip().partition(" ")
    if not pid.isdigit():
        return UserError(f"Another process works on the run {run}.", hint="Wait until it has ended, or stop it.")
    where = "" if machine == socket.gethostname() else f" on {machine}"
    return UserError(
        f"Process {pid}{where} works on the run {run}.",
        hint=f"Wait until it has ended, or stop it (kill {pid}{where}): what it has finished is kept.",
    )


def _let_go() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
