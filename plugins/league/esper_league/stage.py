"""Where matches of a league are played: an environment, and whoever drives its two sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import evolve, frozen

from esper_core.composition.build import build_environment
from esper_core.composition.plan import Plan, describe_plan, owners_of
from esper_core.contracts.errors import EsperError
from esper_core.contracts.events import EPISODE, is_number
from esper_core.contracts.sides import MATCH, Driver
from esper_core.learning.boundary import take_reset, take_step
from esper_core.learning.opponents import OtherSide
from esper_core.registry.index import Index
from esper_league.schedule import Fixture


@frozen
class Result:
    """A match that was played: what the first scored, and the environment's outcomes, and steps, by name."""

    fixture: Fixture
    score: float
    outcome: Mapping[str, float]


@frozen
class Broken:
    """An entry that cannot play, and why; nothing of its batch was played."""

    entry: str
    why: str


class Stage:
    """Plays batches of matches, as many side by side as there are in a batch.

    Both sides draw their actions from the noise of the match, so what comes of it is the same in whatever batch it is.

    Args:
        plan: The league's plan.
        index: What is installed.
        load: From the id of an entry to its driver; raises EsperError.
    """

    def __init__(self, plan: Plan, index: Index, load: Callable[[str], Driver]) -> None:
        self._plan, self._index, self._load = plan, index, load
        self._known, self._owner = describe_plan(plan, index), owners_of(plan, index)["environment"]
        self._drivers: dict[str, Driver] = {}
        self._environment: Any = None
        self._size = 0

    def held_out(self, count: int) -> list[int]:
        """Return instances, each seed's two side by side."""
        with self._owner.doing("naming instances"):
            found: list[int] = self._of_size(1).held_out(count)
        return found

    def play(self, batch: Sequence[Fixture]) -> Iterator[Sequence[Result | Broken]]:
        """Play matches with one second; yield after each step what it brought, if that is anything.

        Raises:
            PluginError: environment or drivers fail, or matches do not end.
        """
        for entry in dict.fromkeys(side for fixture in batch for side in (fixture.second, fixture.first)):
            try:
                if entry not in self._drivers:
                    self._drivers[entry] = self._load(entry)
            except EsperError as error:
                yield [Broken(entry, error.message)]
                return
        environment, owner, rows = self._of_size(len(batch)), self._owner, self._known.rows
        firsts = [self._drivers[entry] for entry in dict.fromkeys(fixture.first for fixture in batch)]
        own = OtherSide(environment.actions, len(batch), rows, firsts[0])
        own.set(firsts, [1.0] * len(firsts))
        said = environment.state_spec, environment.actions, environment.num_envs
        with owner.doing("starting matches"):
            environment.set_opponents([self._drivers[batch[0].second]], [1.0])
            found: Any = environment.reset(options={"instances": [fixture.instance for fixture in batch]})
        state, _ = take_reset(owner, found, *said)
        for match, fixture in enumerate(batch):
            # Seen from the other side it is the learner's that is driven here.
            own.begin(match, fixture.instance // 2, 1 - fixture.instance % 2, fixture.first)
        running = np.ones(len(batch), np.bool_)
        for step in range(environment.horizon):
            actions = own.act(running, state)
            with owner.doing(f"taking step {step}"):
                found = environment.step(actions)
            stepped = take_step(owner, found, *said)
            state = stepped.state
            if results := list(self._results(stepped.events, batch)):
                running[[match for match, _ in results]] = False
                yield [result for _, result in results]
            if not running.any():
                return
        raise owner.breach(f"after {environment.horizon} steps, its horizon, it has not told how every match ended")

    def close(self) -> None:
        """Close the environment."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def _of_size(self, matches: int) -> Any:
        """Return the environment with so many matches."""
        if self._environment is None or self._size != matches:
            self.close()
            plan = evolve(self._plan, envs=matches)
            self._environment, self._size = build_environment(plan, self._index).parts["environment"], matches
        return self._environment

    def _results(self, events: Sequence[Mapping[str, Any]], batch: Sequence[Fixture]) -> Iterator[tuple[int, Result]]:
        """Yield the matches that ended, with what their episodes say of the outcomes."""
        names = {outcome.name for outcome in self._known.outcomes}
        told: dict[int, dict[str, float]] = {}
        for event in events:
            if event["type"] == EPISODE:
                numbers = {name: float(event[name]) for name in names & event.keys() if is_number(event[name])}
                told.setdefault(event["env"] // self._known.rows, {}).update(numbers)
        for event in events:
            if event["type"] == MATCH:
                match = event["env"] // self._known.rows
                if event["instance"] != batch[match].instance or event["opponent"] != batch[match].second:
                    raise self._owner.breach(f"of a match {batch[match]} it tells {dict(event)}")
                outcome = {**told.get(match, {}), "steps": event["step"] + 1}
                yield match, Result(batch[match], float(event["won"]), outcome)
