"""Environments shared out among processes; what they return is the same, bit for bit, whatever their number."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from esper_core.contracts.errors import EsperError
from esper_core.learning.randomness import seed_all
from esper_core.registry.sources import blamed
from esper_core.system.processes import Answer, Child, Purpose, end_children, start_children
from esper_gymnasium_env.actions import Arrays
from esper_gymnasium_env.group import Group, Replayed, Seen, Stepped

PURPOSE = Purpose(
    name="esper-gymnasium",
    doing="playing Gymnasium environments",
    killed="It may have been killed for lack of memory: lower --envs, or use -o environment.workers=0.",
    died="To see where, play in this process: -o environment.workers=0",
    blame=blamed,
)

Make = Callable[[int, int], Group]
"""From the number of the first environment, and how many there are, to a group."""


class Crew:
    """Groups in processes, each with an equal share of the environments; used as a `Group` of all of them.

    Args:
        make: Makes the group of one process; it must survive pickling where processes are not forked.
        count: Environments altogether.
        workers: Processes at most.
        seed: Of the streams of the processes, which an environment may draw from.
    """

    def __init__(self, make: Make, count: int, workers: int, seed: int) -> None:
        workers = min(workers, count)
        self._edges = [count * number // workers for number in range(workers + 1)]
        self._children = start_children(PURPOSE, partial(_begin, make), workers)
        try:
            for number, child in enumerate(self._children):
                first, end = self._edges[number : number + 2]
                self._ask(child, ("open", first, end - first, seed + number))
            self._answers(self._children)
        except BaseException:
            self.close()
            raise

    def reset(self, rows: Sequence[int], seeds: Sequence[int], options: dict[str, Any] | None) -> Seen:
        """Start an episode in some rows, as a `Group` does."""
        return Seen(*self._asked("reset", rows, lambda share: (seeds[share], options)))

    def step(self, rows: Sequence[int], actions: Arrays) -> Stepped:
        """Take one step in some rows, as a `Group` does."""
        return Stepped(*self._asked("step", rows, lambda share: (tuple(array[share] for array in actions),)))

    def replay(self, rows: Sequence[int], seeds: Sequence[int], played: Sequence[Arrays]) -> Replayed:
        """Play episodes again, as a `Group` does."""
        return Replayed(*self._asked("replay", rows, lambda share: (seeds[share], played[share])))

    def says_masks(self, seed: int) -> bool:
        """Return whether an environment says what is legal beside what it shows."""
        return bool(self._first("says_masks", seed))

    def show(self) -> float:
        """Make the first environment ready to be looked at, as a `Group` does."""
        return float(self._first("show"))

    def frame(self) -> NDArray[np.uint8]:
        """Return how the first environment looks."""
        found: NDArray[np.uint8] = self._first("frame")
        return found

    def close(self) -> None:
        """Close every environment and end the processes."""
        for child in self._children:
            try:
                child.ask(("close",))
                child.answer()
            except Exception:  # it is ended all the same
                continue
        end_children(self._children)
        self._children = []

    def _asked(self, method: str, rows: Sequence[int], part: Callable[[slice], tuple[Any, ...]]) -> list[Any]:
        """Ask every process that has some of these ascending rows, and return the answers, joined column by column."""
        asked, counts, cuts = [], [], np.searchsorted(rows, self._edges).tolist()
        for child, first, start, end in zip(self._children, self._edges, cuts, cuts[1:], strict=False):
            if start < end:
                self._ask(child, (method, [row - first for row in rows[start:end]], *part(slice(start, end))))
                asked.append(child)
                counts.append(end - start)
        return [_joined(column, counts) for column in zip(*self._answers(asked), strict=True)]

    def _first(self, method: str, *arguments: Any) -> Any:
        """Ask the process with the first environment."""
        self._ask(self._children[0], (method, *arguments))
        return self._answers(self._children[:1])[0]

    def _ask(self, child: Child, request: tuple[Any, ...]) -> None:
        try:
            child.ask(request)
        except EsperError as error:
            raise self._named(child, error) from error

    def _answers(self, children: Sequence[Child]) -> list[Any]:
        """Return the answers of processes; all are awaited before an error of one is raised."""
        answers, errors = [], []
        for child in children:
            try:
                answers.append(child.answer())
            except EsperError as error:
                errors.append(error if child.process.is_alive() else self._named(child, error))
        if errors:
            raise errors[0]
        return answers

    def _named(self, child: Child, error: EsperError) -> EsperError:
        """Return the error of a process that is gone, with which it was."""
        number = self._children.index(child)
        first, end = self._edges[number : number + 2]
        who = f"Worker {number} of {len(self._children)}, with the environments {first} to {end - 1}"
        return EsperError(f"{who}: {error.message}", hint=error.hint)


def shared_out(make: Make, count: int, workers: int, seed: int) -> Group | Crew:
    """Return the environments in this process for 0 workers, else shared out among as many.

    They stay in this process too where it may have no children, as in the processes of other libraries' vectorised
    environments.
    """
    alone = not workers or multiprocessing.current_process().daemon
    return make(0, count) if alone else Crew(make, count, workers, seed)


def _joined(column: Sequence[NDArray[Any] | None], counts: Sequence[int]) -> NDArray[Any] | None:
    """Return the rows of all answers; where only some say what is legal, everything is in the others."""
    known = [part for part in column if part is not None]
    if not known:
        return None
    if len(known) == len(column) == 1:
        return known[0]
    whole = (np.ones((n, known[0].shape[1]), np.bool_) if p is None else p for p, n in zip(column, counts, strict=True))
    return np.concatenate(list(whole))


def _begin(make: Make) -> Answer:
    torch.set_num_threads(1)
    return _Share(make)


class _Share:
    """Answers requests to the group of a process, which the first, `open`, makes."""

    def __init__(self, make: Make) -> None:
        self._make = make

    def __call__(self, request: tuple[Any, ...]) -> Any:
        method, *arguments = request
        if method == "open":
            first, count, seed = arguments
            seed_all(seed)
            self._group = self._make(first, count)
            return None
        return getattr(self._group, method)(*arguments)
