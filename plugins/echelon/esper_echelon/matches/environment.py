"""The environment `echelon`: M matches side by side, whose rows are the mechs of the learner's team."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from attrs import evolve
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.board import Board, Cell, Row
from esper_core.contracts.protocols import BuildContext
from esper_core.contracts.sides import Driver
from esper_core.contracts.spaces import action_space, observation_space
from esper_core.learning.opponents import checked_weights
from esper_echelon.matches.config import EchelonConfig
from esper_echelon.matches.crew import shared_out
from esper_echelon.matches.curriculum import CurriculumState
from esper_echelon.matches.describe import HEAD, MAP_SIZE, describe
from esper_echelon.matches.group import Begun, Floats, Group, Standing
from esper_echelon.matches.saved import joined, parted
from esper_echelon.perception.schema import SUITE
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import ACTIONS, DECISION

_logger = logging.getLogger("esper")

HELD_OUT = 2**31
"""Matches of training have seeds below this number; those from here on are for judging."""


class EchelonEnvironment(VectorEnv[Any, Any, Any]):
    """Kind `environment`: two teams of mechs fight for a zone, and a row is a mech of the learner's team.

    The seed of the run, the number of the match and that of the game determine the seed of a game, and that determines
    everything about it but what is done in it. An instance is a seed and a side: number = 2·seed + side. It is played
    under the curriculum's end, and counts as no game of training.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, config: EchelonConfig, context: BuildContext) -> None:
        known = describe(config, context.slots)
        self.actions, self.state_spec, self.horizon = known.actions, known.state, known.horizon
        self.num_envs, self.device = context.num_envs, context.device
        self._n, self._matches = known.rows, context.num_envs // known.rows
        self._roles = Roster(config.packs).roles
        self._course, self._given = config.course(), config.course().now
        self._seed, self._games = context.seed, np.zeros(self._matches, np.int64)
        self._all, self._first = context.rows.total // known.rows, context.rows.first // known.rows
        self._judged, self._warned = False, False
        make = partial(Group, config, evolve(context, parts={}, origins={}))
        self._group = shared_out(make, self._matches, config.workers, self._n)
        self._group.set_curriculum(self._given)
        self._map_size, self.learner_side = torch.zeros(self.num_envs), np.zeros(self._matches, np.int64)
        self._blank = np.zeros((self._matches, self._n), np.bool_)
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        slots = context.slots.num_slots
        self.single_observation_space = observation_space(self.state_spec, slots, len(self.actions.ops))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    # Matches --------------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Begin matches, all or those whose rows are in `options["reset_mask"]`.

        A seed begins the sequence of matches, and the schedule, anew.

        `options["instances"]` are the numbers of what is to be played, one for each match. `info["curriculum"]` says
        what was applied: sides of the maps, packs and the probability of firing, by match.

        Raises:
            ValueError: the mask is none, or begins parts of matches, or not all for instances; or an instance is no
                number of one.
        """
        options = options or {}
        matches = self._chosen(options.get("reset_mask"))
        if seed is not None:
            self._seed, self._games[:], self._course.games = seed, 0, 0
        instances = options.get("instances")
        if instances is not None and len(matches) < self._matches:
            raise ValueError("instances are played from the beginning in all matches; leave out reset_mask")
        if instances is None:
            seeds, sides = self._drawn(matches)
        else:
            seeds, sides = self._of_instances(instances)
        self._judged = instances is not None
        self._apply(self._course.final if self._judged else self._course.now)
        began = self._group.begin(matches, seeds, sides)
        state, absent = self._take(began), np.zeros_like(self._blank)
        absent[matches] = ~began.present[matches]
        applied = {
            "map_size": began.size.tolist(),
            "packs": began.packs.tolist(),
            "weapon_prob": began.weapon_prob.tolist(),
        }
        return state, {"absent": self._rows(absent), "curriculum": applied}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take one step with `act`, float32 `[E, 9]`; numbers that are not finite become 0, which is said once.

        Raises:
            ValueError: the actions have another shape.
        """
        began, act = perf_counter(), actions[HEAD]
        if act.shape != (self.num_envs, len(ACTIONS)):
            raise ValueError(f"'{HEAD}' is {list(act.shape)}, not [{self.num_envs}, {len(ACTIONS)}]: {ACTIONS}")
        numbers = act.detach().cpu().numpy().astype(np.float64).reshape(self._matches, self._n, -1)
        self._warn_of(numbers)
        found = self._group.step(numbers)
        if not self._judged:
            self._course.games += sum("won" in event for event in found.events)
        reward = torch.from_numpy(found.reward.reshape(-1).astype(np.float32)).to(self.device)
        info = {"events": found.events, "seconds": {"simulation": perf_counter() - began}}
        return self._state(found.suite), reward, self._rows(found.terminated), self._rows(found.truncated), info

    def close_extras(self, **kwargs: Any) -> None:
        """End the processes."""
        self._group.close()

    # The curriculum -------------------------------------------------------------------------------------------------

    def set_curriculum(
        self,
        *,
        weapon_prob: float | None = None,
        map_size_range: Sequence[int] | None = None,
        packs_per_team_range: Sequence[int] | None = None,
    ) -> None:
        """Change what matches are like that begin from the next reset on; what is not said stays as it is.

        A field that is set no longer follows the schedule.

        Raises:
            ValueError: a field cannot be so; the message names it, and nothing has changed.
        """
        self._course.set(
            weapon_prob=weapon_prob, map_size_range=map_size_range, packs_per_team_range=packs_per_team_range
        )
        self._apply(self._course.now)

    def get_curriculum(self) -> CurriculumState:
        """Return what the next match is like, as all who play matches know it."""
        self._apply(self._course.now)
        return self._group.curriculum()

    # The other team -------------------------------------------------------------------------------------------------

    def set_opponents(self, drivers: Sequence[Driver], weights: Sequence[float]) -> None:
        """Let every match that begins from now on draw its opponent of these; see `TwoSided`, errors too.

        They are in the place of whom the option `opponent` names; `weapon_prob` holds for them too.
        """
        self._group.set_opponents(drivers, checked_weights([driver.name for driver in drivers], weights))

    @property
    def opponents(self) -> tuple[str, ...]:
        """Names of those who drive the other team of the matches in progress."""
        return self._group.opponents()

    # Being judged and looked at -------------------------------------------------------------------------------------

    def held_out(self, count: int) -> list[int]:
        """Return instances that no training draws: each seed twice, once from each side."""
        return list(range(2 * HELD_OUT, 2 * HELD_OUT + count))

    def outcomes(self) -> dict[str, Tensor]:
        """Return what came of each match, float64 `[M]`."""
        return {name: torch.from_numpy(values) for name, values in self._group.outcomes().items()}

    def show(self) -> float:
        """Find out whether matches can be looked at; return how many frames a second are their own pace.

        Raises:
            MissingPackage: what draws them is not installed.
        """
        return self._group.show()

    def frame(self) -> NDArray[np.uint8]:
        """Return how the first match looks from above, uint8 `[height, width, 3]`; raises as `show`."""
        return self._group.frame()

    def board(self, envs: Sequence[int]) -> Board:
        """Return who is alive in some matches."""
        matches = [match for match in envs if match < self._matches]
        rows = zip(matches, self._group.standings(matches), strict=True)
        return Board(self._roles, [_row(match, standing) for match, standing in rows])

    # Going on -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what the next step or reset depends on, in the middle of matches too."""
        return {
            "seed": self._seed,
            "games": self._games.tolist(),
            "judged": self._judged,
            "course": self._course.state(),
            "group": self._group.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken.

        Raises:
            ValueError: the state is that of another number of matches.
        """
        if len(state["games"]) != self._matches:
            raise ValueError(f"it is that of {len(state['games'])} matches, not of {self._matches}")
        self._seed, self._games[:] = state["seed"], state["games"]
        self._judged = state["judged"]
        self._course.load_state(state["course"])
        self._take(self._group.load_state(state["group"]))
        self._given = self._group.curriculum()

    def joined(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the state of all matches."""
        first = states[0]
        course = {**first["course"], "games": sum(state["course"]["games"] for state in states)}
        games = [count for state in states for count in state["games"]]
        return {**first, "games": games, "course": course, "group": joined([state["group"] for state in states])}

    def parted(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state of these matches; raises ValueError where it is that of another number of matches."""
        if (found := len(state["games"])) != self._all:
            raise ValueError(f"it is that of {found} matches, not of {self._all}")
        first, count = self._first, self._matches
        # What is counted over all matches is kept in one place.
        course = {**state["course"], "games": state["course"]["games"] if first == 0 else 0}
        group = parted(state["group"], first, count)
        return {**state, "games": state["games"][first : first + count], "course": course, "group": group}

    # Its pieces -----------------------------------------------------------------------------------------------------

    def _chosen(self, mask: Any) -> list[int]:
        """Return the matches of a reset mask, all without one."""
        if mask is None:
            return list(range(self._matches))
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"reset_mask is {mask!r:.80}, not a numpy array of bool [{self.num_envs}]")
        by_match = mask.reshape(self._matches, self._n)
        if (by_match.any(1) != by_match.all(1)).any():
            raise ValueError(f"reset_mask begins parts of matches; a match has {self._n} rows side by side")
        if not mask.any():
            raise ValueError("reset_mask is true nowhere, so there is nothing to reset")
        return np.flatnonzero(by_match.all(1)).tolist()

    def _drawn(self, matches: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return seeds and sides of the games that begin in some matches, and count them."""
        words = [_digest(f"{self._seed}/{self._first + match}/{self._games[match]}") for match in matches]
        self._games[matches] += 1
        return [word // 2 % HELD_OUT for word in words], [word % 2 for word in words]

    def _of_instances(self, instances: Any) -> tuple[list[int], list[int]]:
        numbers = list(instances)
        if len(numbers) != self._matches or not all(type(one) is int and 0 <= one < 2**64 for one in numbers):
            raise ValueError(f"instances are {instances!r:.80}, not {self._matches} whole numbers from 0 on")
        return [number // 2 for number in numbers], [number % 2 for number in numbers]

    def _apply(self, state: CurriculumState) -> None:
        if state != self._given:
            self._group.set_curriculum(state)
            self._given = state

    def _warn_of(self, numbers: Floats) -> None:
        if not self._warned and not np.isfinite(numbers).all():
            self._warned = True
            match, place, number = np.argwhere(~np.isfinite(numbers))[0].tolist()
            _logger.warning(
                "An action of echelon is not finite: '%s' of row %d. Such numbers become 0; the metric bad_actions "
                "counts them.",
                ACTIONS[number],
                match * self._n + place,
            )

    def _take(self, began: Begun) -> dict[str, Tensor]:
        self.learner_side = began.side
        self._map_size = torch.from_numpy(began.size.astype(np.float32).repeat(self._n)).to(self.device)
        return self._state(began.suite)

    def _state(self, suite: Any) -> dict[str, Tensor]:
        seen = torch.from_numpy(suite.reshape(self.num_envs, -1)).to(self.device)
        return {SUITE: seen, MAP_SIZE: self._map_size.clone()}

    def _rows(self, flags: Any) -> Tensor:
        return torch.from_numpy(flags.reshape(-1)).to(self.device)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=5).digest(), "little")


def _row(match: int, standing: Standing) -> Row:
    cells = [
        Cell("absent")
        if not present
        else Cell("fights", level=hp, tone="active")
        if alive
        else Cell("dead", tone="bad")
        for present, alive, hp in zip(standing.present, standing.alive, standing.hp, strict=True)
    ]
    ours, theirs = standing.score
    # The live view has room for 14 letters.
    text = f"{ours:.0f} : {theirs:.0f}  {standing.size} m"
    return Row(f"match {match}  {standing.clock * DECISION:.0f} s", text, cells)
