"""Matches shared out among processes; what they return is the same, bit for bit, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esper_core.contracts.errors import EsperError
from esper_core.contracts.sides import Driver
from esper_core.registry.sources import blamed
from esper_core.system.crew import Crew, equal_shares, may_have_children, methods_of, row_order
from esper_core.system.processes import Purpose
from esper_echelon.matches.curriculum import CurriculumState
from esper_echelon.matches.group import Begun, Floats, Group, Standing, Stepped
from esper_echelon.matches.saved import joined, parted

PURPOSE = Purpose(
    name="esper-echelon",
    doing="playing matches of echelon",
    killed="It may have been killed for lack of memory: lower --envs, or use -o environment.workers=0.",
    died="To see where, play in this process: -o environment.workers=0",
    blame=blamed,
    rows="matches",
)

Make = Callable[[int], Group]
"""From how many matches there are to a group."""


class Groups:
    """Groups in processes, each with an equal share of the matches; used as a `Group` of all of them.

    Args:
        make: Makes the group of one process; it must survive pickling where processes are not forked.
        count: Matches altogether.
        workers: Processes at most.
        rows: Rows of a match.
    """

    def __init__(self, make: Make, count: int, workers: int, rows: int) -> None:
        self._sent: dict[str, Driver] = {}
        self._rows, self._shares = rows, equal_shares(count, workers)
        self._crew = Crew(PURPOSE, [partial(methods_of, make, len(share)) for share in self._shares], self._shares)
        self._crew.open()

    def set_curriculum(self, state: CurriculumState) -> None:
        """Let the matches that begin from now on be like this."""
        self._crew.everyone("set_curriculum", state)

    def curriculum(self) -> CurriculumState:
        """Return what the next match is like; raises EsperError where processes do not agree."""
        first, *others = self._crew.everyone("curriculum")
        if any(other != first for other in others):
            raise EsperError(f"Processes play under different curricula: {[first, *others]}.")
        found: CurriculumState = first
        return found

    def set_opponents(self, drivers: Sequence[Driver], weights: Sequence[float]) -> None:
        """Let new matches draw one of these; who is known to the processes is named to them, and not sent again."""
        known = [one.name if self._sent.get(one.name) is one else one for one in drivers]
        self._sent = {}
        self._crew.everyone("set_opponents", known, weights)
        self._sent = {one.name: one for one in drivers}

    def opponents(self) -> tuple[str, ...]:
        """Return the names of those who drive the other team of the matches in progress."""
        return tuple(dict.fromkeys(name for share in self._crew.everyone("opponents") for name in share))

    def begin(self, matches: Sequence[int], seeds: Sequence[int], sides: Sequence[int]) -> Begun:
        """Begin some matches, given in ascending order, as a `Group` does."""
        places = self._crew.places(matches)

        def part(number: int) -> tuple[Any, ...]:
            here = places[number]
            there = self._crew.local(number, [matches[place] for place in here])
            return there, [seeds[place] for place in here], [sides[place] for place in here]

        return _begun(self._everyone("begin", part))

    def step(self, actions: Floats) -> Stepped:
        """Take one step in every match, as a `Group` does."""
        parts = [actions[share.start : share.stop] for share in self._shares]
        found: list[Stepped] = self._everyone("step", lambda number: (parts[number],))
        events = [
            {**event, "env": event["env"] + share.start * self._rows}
            for share, stepped in zip(self._shares, found, strict=True)
            for event in stepped.events
        ]
        joined = {name: np.concatenate([getattr(share, name) for share in found]) for name in Stepped._fields[:-1]}
        return Stepped(**joined, events=events)

    def outcomes(self) -> dict[str, Floats]:
        """Return what came of each match, as a `Group` does."""
        found = self._crew.everyone("outcomes")
        return {name: np.concatenate([share[name] for share in found]) for name in found[0]}

    def standings(self, matches: Sequence[int]) -> list[Standing]:
        """Return how some matches are going, as a `Group` does."""

        def part(number: int, places: list[int]) -> tuple[Any, ...]:
            return (self._crew.local(number, [matches[place] for place in places]),)

        found, places = self._crew.each("standings", matches, part)
        joined = [one for share in found for one in share]
        return [joined[place] for place in row_order(places)]

    def show(self) -> float:
        """Find out whether the first match can be looked at, as a `Group` does."""
        return float(self._crew.first("show"))

    def frame(self) -> NDArray[np.uint8]:
        """Return how the first match looks."""
        found: NDArray[np.uint8] = self._crew.first("frame")
        return found

    def state(self) -> dict[str, Any]:
        """Return what the next step or match depends on, as a `Group` does."""
        return joined(self._crew.everyone("state"))

    def load_state(self, state: Mapping[str, Any]) -> Begun:
        """Go on where `state()` was taken, in however many processes that was."""
        self._sent = {}
        parts = [parted(state, share.start, len(share)) for share in self._shares]
        return _begun(self._everyone("load_state", lambda number: (parts[number],)))

    def close(self) -> None:
        """End the processes."""
        self._crew.close()

    def _everyone(self, method: str, part: Callable[[int], tuple[Any, ...]]) -> list[Any]:
        """Call a method in every process, with arguments by its number."""
        return self._crew.ask({number: (method, *part(number)) for number in range(len(self._crew))})


def shared_out(make: Make, count: int, workers: int, rows: int) -> Group | Groups:
    """Return the matches in this process for 0 workers, or where it may have no children, else shared out."""
    return Groups(make, count, workers, rows) if workers and may_have_children() else make(count)


def _begun(shares: Sequence[Begun]) -> Begun:
    return Begun(*(np.concatenate(column) for column in zip(*shares, strict=True)))
