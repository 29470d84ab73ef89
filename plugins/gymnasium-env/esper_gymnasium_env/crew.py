"""Environments shared out among processes; what they return is the same, bit for bit, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esper_core.learning.randomness import seed_all
from esper_core.registry.sources import blamed
from esper_core.system.crew import Crew, equal_shares, may_have_children, methods_of
from esper_core.system.processes import Answer, Purpose
from esper_gymnasium_env.actions import Arrays
from esper_gymnasium_env.group import Group, Replayed, Seen, Stepped

PURPOSE = Purpose(
    name="esper-gymnasium",
    doing="playing Gymnasium environments",
    killed="It may have been killed for lack of memory: lower --envs, or use -o environment.workers=0.",
    died="To see where, play in this process: -o environment.workers=0",
    blame=blamed,
    rows="environments",
)

Make = Callable[[int, int], Group]
"""From the number of the first environment, and how many there are, to a group."""


class Groups:
    """Groups in processes, each with an equal share of the environments; used as a `Group` of all of them.

    Args:
        make: Makes the group of one process; it must survive pickling where processes are not forked.
        count: Environments altogether.
        workers: Processes at most.
        seed: Of the streams of the processes, which an environment may draw from.
        first: Number of the first environment.
    """

    def __init__(self, make: Make, count: int, workers: int, seed: int, first: int) -> None:
        shares = equal_shares(count, workers)
        begins = [partial(_begin, make, first + share.start, len(share), seed + n) for n, share in enumerate(shares)]
        self._crew = Crew(PURPOSE, begins, shares).open()

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
        return bool(self._crew.first("says_masks", seed))

    def show(self) -> float:
        """Make the first environment ready to be looked at, as a `Group` does."""
        return float(self._crew.first("show"))

    def frame(self) -> NDArray[np.uint8]:
        """Return how the first environment looks."""
        found: NDArray[np.uint8] = self._crew.first("frame")
        return found

    def close(self) -> None:
        """Close every environment and end the processes."""
        with suppress(Exception):  # they are ended all the same
            self._crew.everyone("close")
        self._crew.close()

    def _asked(self, method: str, rows: Sequence[int], part: Callable[[slice], tuple[Any, ...]]) -> list[Any]:
        """Ask every process that has some of these ascending rows, and return the answers, joined column by column."""

        def arguments(number: int, places: list[int]) -> tuple[Any, ...]:
            here = slice(places[0], places[-1] + 1)
            return self._crew.local(number, rows[here]), *part(here)

        answers, places = self._crew.each(method, rows, arguments)
        return [_joined(column, [*map(len, places)]) for column in zip(*answers, strict=True)]


def shared_out(make: Make, count: int, workers: int, seed: int, first: int) -> Group | Groups:
    """Return the environments in this process for 0 workers, else shared out among as many.

    They stay in this process too where it may have no children, as in the processes of other libraries' vectorised
    environments.
    """
    return Groups(make, count, workers, seed, first) if workers and may_have_children() else make(first, count)


def _joined(column: Sequence[NDArray[Any] | None], counts: Sequence[int]) -> NDArray[Any] | None:
    """Return the rows of all answers; where only some say what is legal, everything is in the others."""
    known = [part for part in column if part is not None]
    if not known:
        return None
    if len(known) == len(column) == 1:
        return known[0]
    whole = (np.ones((n, known[0].shape[1]), np.bool_) if p is None else p for p, n in zip(column, counts, strict=True))
    return np.concatenate(list(whole))


def _begin(make: Make, first: int, count: int, seed: int) -> Answer:
    seed_all(seed)
    return methods_of(make, first, count)
