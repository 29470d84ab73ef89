"""Matches shared out among processes; what they return is the same, bit for bit, whatever their number."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from esper_core.contracts.errors import EsperError
from esper_core.contracts.sides import Driver
from esper_core.registry.sources import blamed
from esper_core.system.processes import Answer, Child, Purpose, end_children, start_children
from esper_echelon.matches.curriculum import CurriculumState
from esper_echelon.matches.group import Begun, Floats, Group, Standing, Stepped

PURPOSE = Purpose(
    name="esper-echelon",
    doing="playing matches of echelon",
    killed="It may have been killed for lack of memory: lower --envs, or use -o environment.workers=0.",
    died="To see where, play in this process: -o environment.workers=0",
    blame=blamed,
)

Make = Callable[[int], Group]
"""From how many matches there are to a group."""


class Crew:
    """Groups in processes, each with an equal share of the matches; used as a `Group` of all of them.

    Args:
        make: Makes the group of one process; it must survive pickling where processes are not forked.
        count: Matches altogether.
        workers: Processes at most.
        rows: Rows of a match.
    """

    def __init__(self, make: Make, count: int, workers: int, rows: int) -> None:
        workers = min(workers, count)
        self._sent: dict[str, Driver] = {}
        self._rows, self._edges = rows, [count * number // workers for number in range(workers + 1)]
        self._children = start_children(PURPOSE, partial(_begin, make), workers)
        try:
            self._everyone("open", lambda first, end: (end - first,))
        except BaseException:
            self.close()
            raise

    def set_curriculum(self, state: CurriculumState) -> None:
        """Let the matches that begin from now on be like this."""
        self._everyone("set_curriculum", lambda first, end: (state,))

    def curriculum(self) -> CurriculumState:
        """Return what the next match is like; raises EsperError where processes do not agree."""
        first, *others = self._everyone("curriculum")
        if any(other != first for other in others):
            raise EsperError(f"Processes play under different curricula: {[first, *others]}.")
        found: CurriculumState = first
        return found

    def set_opponents(self, drivers: Sequence[Driver], weights: Sequence[float]) -> None:
        """Let new matches draw one of these; who is known to the processes is named to them, and not sent again."""
        known = [one.name if self._sent.get(one.name) is one else one for one in drivers]
        self._sent = {}
        self._everyone("set_opponents", lambda first, end: (known, weights))
        self._sent = {one.name: one for one in drivers}

    def opponents(self) -> tuple[str, ...]:
        """Return the names of those who drive the other team of the matches in progress."""
        return tuple(dict.fromkeys(name for share in self._everyone("opponents") for name in share))

    def begin(self, matches: Sequence[int], seeds: Sequence[int], sides: Sequence[int]) -> Begun:
        """Begin some matches, given in ascending order, as a `Group` does."""
        cuts = np.searchsorted(matches, self._edges).tolist()
        shares = dict(zip(self._edges, pairwise(cuts), strict=False))

        def part(first: int, end: int) -> tuple[Any, ...]:
            here = slice(*shares[first])
            return [match - first for match in matches[here]], seeds[here], sides[here]

        return _begun(self._everyone("begin", part))

    def step(self, actions: Floats) -> Stepped:
        """Take one step in every match, as a `Group` does."""
        found: list[Stepped] = self._everyone("step", lambda first, end: (actions[first:end],))
        events = [
            {**event, "env": event["env"] + first * self._rows}
            for first, share in zip(self._edges, found, strict=False)
            for event in share.events
        ]
        joined = {name: np.concatenate([getattr(share, name) for share in found]) for name in Stepped._fields[:-1]}
        return Stepped(**joined, events=events)

    def outcomes(self) -> dict[str, Floats]:
        """Return what came of each match, as a `Group` does."""
        found = self._everyone("outcomes")
        return {name: np.concatenate([share[name] for share in found]) for name in found[0]}

    def standings(self, matches: Sequence[int]) -> list[Standing]:
        """Return how some matches are going, as a `Group` does."""
        found = self._everyone("standings", lambda first, end: ([m - first for m in matches if first <= m < end],))
        there = [m for first, end in self._spans for m in matches if first <= m < end]
        by_match = dict(zip(there, (one for share in found for one in share), strict=True))
        return [by_match[match] for match in matches]

    def show(self) -> float:
        """Find out whether the first match can be looked at, as a `Group` does."""
        return float(self._first("show"))

    def frame(self) -> NDArray[np.uint8]:
        """Return how the first match looks."""
        found: NDArray[np.uint8] = self._first("frame")
        return found

    def state(self) -> dict[str, Any]:
        """Return what the next step or match depends on: that of each process."""
        return {"shares": self._everyone("state")}

    def load_state(self, state: Mapping[str, Any]) -> Begun:
        """Go on where `state()` was taken; raises ValueError where matches were shared out otherwise."""
        self._sent = {}
        shares = dict(zip(self._edges, state["shares"], strict=False))
        if len(state["shares"]) != len(self._children):
            raise ValueError(f"it is that of {len(state['shares'])} processes, not of {len(self._children)}")
        return _begun(self._everyone("load_state", lambda first, end: (shares[first],)))

    def close(self) -> None:
        """End the processes."""
        end_children(self._children)
        self._children = []

    def _first(self, method: str) -> Any:
        """Ask the process that plays the first match."""
        self._children[0].ask((method,))
        return self._children[0].answer()

    @property
    def _spans(self) -> list[tuple[int, int]]:
        return list(pairwise(self._edges))

    def _everyone(self, method: str, part: Callable[[int, int], tuple[Any, ...]] = lambda first, end: ()) -> list[Any]:
        """Ask every process, and return the answers; all are awaited before an error is raised."""
        answers: list[Any] = []
        errors: list[EsperError] = []
        asked: list[tuple[Child, str]] = []
        for number, (child, (first, end)) in enumerate(zip(self._children, self._spans, strict=True)):
            who = f"Worker {number} of {len(self._children)}, with the matches {first} to {end - 1}"
            try:
                child.ask((method, *part(first, end)))
                asked.append((child, who))
            except EsperError as error:
                errors.append(_named(who, error))
        for child, who in asked:
            try:
                answers.append(child.answer())
            except EsperError as error:
                errors.append(_named(who, error))
        if errors:
            raise errors[0]
        return answers


def shared_out(make: Make, count: int, workers: int, rows: int) -> Group | Crew:
    """Return the matches in this process for 0 workers, or where it may have no children, else shared out."""
    alone = not workers or multiprocessing.current_process().daemon
    return make(count) if alone else Crew(make, count, workers, rows)


def _named(who: str, error: EsperError) -> EsperError:
    error.message = f"{who}: {error.message}"
    error.args = (error.message,)
    return error


def _begun(shares: Sequence[Begun]) -> Begun:
    return Begun(*(np.concatenate(column) for column in zip(*shares, strict=True)))


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
            self._group = self._make(*arguments)
            return None
        return getattr(self._group, method)(*arguments)
