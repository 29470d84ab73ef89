"""The workload `echelon`: how fast matches are simulated and observed, as a multiple of what this machine does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen

from esper_bench.machine import MATRIX, Ceilings
from esper_bench.repeats import one_thread, side_by_side
from esper_bench.workload import Target
from esper_echelon.perception.observation import observe
from esper_echelon.simulation.arena import Arena
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import ACTIONS

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import Say
    from esper_core.registry.index import Index

SIZE, PACKS = 40, 1


@frozen
class EchelonWorkload:
    """Kind `workload`: matches of 6 against 6 on 40 × 40 m, random actions, both teams observed, one core.

    Attributes:
        matches: Matches side by side.
        decisions: Decisions of every match in a turn.
        turns: Turns, in each of which matches, the loop and the matrix product are measured once.
        quick_turns: The same when quick.
        loop: Additions of the loop that speed is told in multiples of.
    """

    matches: int = 64
    decisions: int = 60
    turns: int = 11
    quick_turns: int = 3
    loop: int = 10**7
    targets: tuple[Target, ...] = field(init=False)

    @targets.default
    def _targets(self) -> tuple[Target, ...]:
        turns = "steps per second × seconds of a loop of ten million additions in Python"
        return (
            Target("steps_per_loop", 800.0, meaning=turns),
            Target("observation_share", 0.4, smaller_is_better=True, meaning="of a step"),
        )

    @property
    def choices(self) -> dict[str, Any]:
        """What is trained; nothing is trained here, but a plan says which environment this is about."""
        return {"policy": "combat-suite", "uses": {"environment": "echelon"}, "seed": 0, "device": "cpu"}

    def measure(self, plan: Plan, index: Index, *, quick: bool, say: Say) -> dict[str, Any]:
        """Return the speed of matches beside that of a loop and of a matrix product, and the memory of a match."""
        say("drawing maps")
        playing = _Playing(self.matches, plan.seed)
        factors = np.random.default_rng(0).random((2, MATRIX, MATRIX), np.float32)
        works = {
            "matches": lambda: playing.go_on(self.decisions),
            "loop": lambda: _add_up(self.loop),
            "product": lambda: factors[0] @ factors[1],
        }
        say("playing at random, in turns with a loop and a matrix product")
        with one_thread():
            seconds = side_by_side(works, self.quick_turns if quick else self.turns)
        steps = self.matches * self.decisions
        return {
            "steps_per_loop": statistics.median(
                steps / taken * loop for taken, loop in zip(seconds["matches"], seconds["loop"], strict=True)
            ),
            "observation_share": playing.observing / (playing.observing + playing.stepping),
            "steps_per_second": steps / statistics.median(seconds["matches"]),
            "loop_seconds": statistics.median(seconds["loop"]),
            "matrix_product_ms": 1e3 * statistics.median(seconds["product"]),
            "bytes_per_match": playing.arena.bytes,
            "mechs": 2 * playing.arena.roster.team_size,
            "matches": self.matches,
        }

    def evidence(
        self, plan: Plan, index: Index, figure: str, figures: Mapping[str, Any], ceilings: Ceilings
    ) -> dict[str, Any]:
        """Return what the parts of a step take, by how many matches run side by side."""
        rows: dict[str, Any] = {}
        decisions = -(-self.decisions // 4)
        for matches in (1, self.matches):
            playing = _Playing(matches, plan.seed)
            playing.go_on(decisions)
            each = 1e6 / (matches * self.decisions)
            rows[f"{matches}_matches"] = {
                "step_us": playing.stepping * each,
                "observation_us": playing.observing * each,
            }
        return rows


class _Playing:
    """Matches that are played at random, one after the other."""

    def __init__(self, matches: int, seed: int) -> None:
        self.arena = Arena(Roster(PACKS), matches, largest=SIZE)
        self.stepping = self.observing = 0.0
        self._next, self._draws = seed, np.random.default_rng(seed)
        self._begin()

    def go_on(self, decisions: int) -> None:
        """Take decisions in all matches, and begin anew where one is over."""
        shape = (*self.arena.mechs.alive.shape, len(ACTIONS))
        for _ in range(decisions):
            actions = self._draws.uniform(-1.0, 1.0, shape)
            started = time.perf_counter()
            self.arena.step(actions)
            self._begin()
            stepped = time.perf_counter()
            observe(self.arena)
            self.stepping += stepped - started
            self.observing += time.perf_counter() - stepped

    def _begin(self) -> None:
        for match in np.flatnonzero(self.arena.over).tolist():
            self.arena.begin(match, self._next, SIZE, PACKS, self._next % 2)
            self._next += 1


def _add_up(count: int) -> int:
    total = 0
    for number in range(count):
        total += number
    return total


def echelon(config: None, context: None) -> EchelonWorkload:
    """Return the workload at its full size."""
    return EchelonWorkload()
