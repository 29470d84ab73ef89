"""Independent tasks shared out among processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

import torch

from esper_core.contracts.errors import EsperError
from esper_core.registry.sources import blamed
from esper_core.system.processes import Failure, attempted

START_METHOD = "fork" if sys.platform == "linux" else "spawn"
"""Forking needs no second import of torch; other systems' libraries do not survive it."""


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """Processes that call one function on whatever they are handed; a context manager that ends them with it.

    Args:
        work: Called in the processes, one task at a time. Where processes are not forked, it must survive pickling.
        size: Number of processes.
    """

    def __init__(self, work: Callable[[Any], Any], size: int) -> None:
        self._work, self._size = work, size
        self._members: dict[Connection, BaseProcess] = {}

    def __enter__(self) -> Crew:
        """Start the processes."""
        context: Any = multiprocessing.get_context(START_METHOD)
        for number in range(self._size):
            here, there = context.Pipe()
            inherited = [here, *self._members] if START_METHOD == "fork" else []
            process = context.Process(
                target=_serve, args=(self._work, there, inherited), daemon=True, name=f"esper-probes-{number}"
            )
            process.start()
            there.close()
            self._members[here] = process
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End the processes, whatever they are doing."""
        for connection, process in self._members.items():
            connection.close()
            process.kill()
        for process in self._members.values():
            process.join()
        self._members = {}

    def results(self, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield each task with its result, as they are done.

        Raises:
            EsperError: a process is gone, or what the work raised there.
        """
        waiting = iter(tasks)
        busy: dict[Connection, Any] = {}
        free = list(self._members)
        while True:
            for connection, task in zip(list(free), waiting, strict=False):
                connection.send_bytes(pickle.dumps(task))
                free.remove(connection)
                busy[connection] = task
            if not busy:
                return
            ready = wait(list(busy))
            for connection in [connection for connection in busy if connection in ready]:
                result = self._answer(connection)
                free.append(connection)
                yield busy.pop(connection), result

    def _answer(self, connection: Connection) -> Any:
        try:
            result = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError) as error:
            process = self._members[connection]
            process.join(timeout=1)
            killed = process.exitcode == -signal.SIGKILL
            raise EsperError(
                f"A process that trains probes ended unexpectedly (exit status {process.exitcode}).",
                hint="It may have been killed for lack of memory. Run fewer probes at a time with --only."
                if killed
                else "Find out which probe it was with --only.",
            ) from error
        if isinstance(result, Failure):
            raise result.error(blamed(result.modules) or "A process that trains probes", "training a probe")
        return result


def _work(work: Callable[[Any], Any], task: bytes) -> Any:
    return work(pickle.loads(task))


def _serve(work: Callable[[Any], Any], connection: Connection, inherited: Iterable[Connection]) -> None:
    """Work until nobody is left to ask."""
    # Ctrl-C reaches the whole group; whoever hands out the tasks decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # An end of a pipe that stays open here would keep another process waiting for ever.
    for other in inherited:
        other.close()
    torch.set_num_threads(1)
    while True:
        try:
            task = connection.recv_bytes()
            connection.send_bytes(attempted(partial(_work, work, task)))
        except (EOFError, OSError):
            return
