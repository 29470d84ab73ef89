"""Independent tasks shared out among processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.connection import wait
from typing import Any

import torch

from esper_core.registry.sources import blamed
from esper_core.system.processes import Answer, Child, Purpose, end_children, start_children

PURPOSE = Purpose(
    name="esper-probes",
    doing="training a probe",
    killed="It may have been killed for lack of memory. Run fewer probes at a time with --only.",
    died="Find out which probe it was with --only.",
    blame=blamed,
)


class Crew:
    """Processes that call one function on whatever they are handed; a context manager that ends them with it.

    Args:
        work: Called in the processes, one task at a time. Where processes are not forked, it must survive pickling.
        size: Number of processes.
    """

    def __init__(self, work: Callable[[Any], Any], size: int) -> None:
        self._work, self._size = work, size
        self._children: list[Child] = []

    def __enter__(self) -> Crew:
        """Start the processes."""
        self._children = start_children(PURPOSE, partial(_begin, self._work), self._size)
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes, whatever they are doing."""
        end_children(self._children)
        self._children = []

    def results(self, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield each task with its result, as they are done.

        Raises:
            EsperError: a process is gone, or what the work raised there.
        """
        waiting = iter(tasks)
        busy: dict[Any, tuple[Child, Any]] = {}
        free = list(self._children)
        while True:
            for child, task in zip(list(free), waiting, strict=False):
                child.ask(task)
                free.remove(child)
                busy[child.connection] = child, task
            if not busy:
                return
            for connection in wait(list(busy)):
                child, task = busy.pop(connection)
                free.append(child)
                yield task, child.answer()


def _begin(work: Callable[[Any], Any]) -> Answer:
    torch.set_num_threads(1)
    return work
