"""The reference environment of two sides: rock, paper, scissors, in which the better move wins most of the rounds.

A match has a few rounds and some players a side, each of whom meets the one at the same place. Who plays the better
move wins with the chance `BETTER`. Luck is the match's: exchange the sides, and each round goes to the same move.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_core.contracts.sides import Driver
from esper_core.contracts.spaces import action_space, observation_space
from esper_core.learning.noise import noise
from esper_core.learning.opponents import OtherSide
from esper_testing.reference.config import DuelConfig
from esper_testing.reference.describe import MOVES, describe_duel
from esper_testing.reference.environment import HELD_OUT

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

BETTER = 0.9
"""How likely paper wins against rock, scissors against paper, and rock against scissors."""

_COUNT = len(MOVES)
_LEAD = (np.arange(_COUNT)[:, None] - np.arange(_COUNT)) % _COUNT
CHANCE = np.choose(_LEAD, (0.5, BETTER, 1 - BETTER))
"""How likely a move wins against another, `[3, 3]`."""

_KEPT = ("time", "mine", "theirs", "points", "returns", "seeds", "games", "learner_side")


class Steady:
    """Drives with the same move always, or, without one, with any."""

    def __init__(self, name: str, move: int | None = None) -> None:
        self.name, self.move = name, move

    def initial_memory(self, matches: int) -> Any:
        """Return nothing."""
        return ()

    def __call__(self, state: State, memory: Any, begins: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Any]:
        """Return moves, int64 `[R·rows]`."""
        drawn = (noise[:, 0] * _COUNT).long()
        return {"move": drawn if self.move is None else torch.full_like(drawn, self.move)}, ()


class Duel(VectorEnv[Any, Any, Any]):
    """Kind `environment`: pays half a point for a round won; its rows are the players of the learner's side."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, config: DuelConfig, context: BuildContext) -> None:
        known = describe_duel(config, context.slots)
        self.actions, self.state_spec, self.horizon = known.actions, known.state, known.horizon
        self.num_envs, self.device = context.num_envs, context.device
        self._players, self._matches = config.players, context.num_envs // config.players
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.single_observation_space = observation_space(self.state_spec, context.slots.num_slots, 0)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        move = MOVES.index(config.opponent) if config.opponent in MOVES else None
        default = Steady(config.opponent, move)
        self._other = OtherSide(self.actions, self._matches, self._players, default)
        self._seed = context.seed
        whole, rows = (self._matches,), (self._matches, self._players)
        self.time, self.games, self.learner_side = (np.zeros(whole, np.int64) for _ in range(3))
        self.seeds, self.points, self.returns = np.zeros(whole, np.uint64), np.zeros((*whole, 2)), np.zeros(rows)
        self.mine, self.theirs = np.full(rows, -1), np.full(rows, -1)
        self.time[:] = self.horizon

    # Matches --------------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Begin matches, all or those whose rows are in the mask, from instances if there are some."""
        options = options or {}
        if seed is not None:
            self._seed, self.games[:] = seed, 0
        chosen, instances = options.get("reset_mask"), options.get("instances")
        begun = range(self._matches)
        if chosen is not None:
            begun = np.flatnonzero(np.reshape(chosen, (self._matches, -1)).all(1)).tolist()  # type: ignore[assignment]
        for match in begun:
            self._begin(match, self._drawn(match) if instances is None else instances[match])
        return self._observe(1), {}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Play a round in every match that is not over."""
        running = self.time < self.horizon
        mine = self._by_match(actions["move"])
        theirs = self._by_match(self._other.act(running, self._observe(-1))["move"])
        first = (self.learner_side == 0)[:, None]
        # The second of the numbers, since a player takes the first.
        luck = noise(self.seeds, self.time, np.zeros_like(self.time), self._players, 2)[:, 1].reshape(mine.shape)
        home = luck < CHANCE[np.where(first, mine, theirs), np.where(first, theirs, mine)]
        won = (home == first) & running[:, None]
        lost = (home != first) & running[:, None]
        self.points += np.stack([won.sum(1), lost.sum(1)], 1)
        self.returns += (reward := (won.astype(np.float64) - lost) / 2)
        self.mine, self.theirs = (
            np.where(running[:, None], new, old) for new, old in ((mine, self.mine), (theirs, self.theirs))
        )
        self.time = self.time + running
        over = running & (self.time >= self.horizon)
        ended = self._rows(over.repeat(self._players))
        events = [event for match in np.flatnonzero(over).tolist() for event in self._events(match)]
        return self._observe(1), self._rows(reward).float(), ended, torch.zeros_like(ended), {"events": events}

    # Opponents and instances ----------------------------------------------------------------------------------------

    def set_opponents(self, drivers: Sequence[Driver], weights: Sequence[float]) -> None:
        """Let every match that begins from now on draw one of these."""
        self._other.set(drivers, weights)

    @property
    def opponents(self) -> tuple[str, ...]:
        """Names of the drivers of the matches in progress."""
        return self._other.opponents

    def held_out(self, count: int) -> list[int]:
        """Return instances that no training draws: each seed twice, once from each side."""
        return list(range(2 * HELD_OUT, 2 * HELD_OUT + count))

    def outcomes(self) -> dict[str, Tensor]:
        """Return what came of each match, float64 `[M]`."""
        margin = self.points[:, 0] - self.points[:, 1]
        return {"won": torch.from_numpy((np.sign(margin) + 1) / 2), "margin": torch.from_numpy(margin)}

    def state(self) -> dict[str, Any]:
        """Return what later steps depend on."""
        kept = {name: getattr(self, name).tolist() for name in _KEPT}
        return {"seed": self._seed, "other": self._other.state(), **kept}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""
        self._seed = state["seed"]
        self._other.load_state(state["other"])
        for name in _KEPT:
            setattr(self, name, np.array(state[name], getattr(self, name).dtype))

    # Its pieces -----------------------------------------------------------------------------------------------------

    def _drawn(self, match: int) -> int:
        """Return the instance of the next game of a match."""
        word = hashlib.blake2b(f"{self._seed}/{match}/{self.games[match]}".encode(), digest_size=8).digest()
        self.games[match] += 1
        return int.from_bytes(word, "little") % (2 * HELD_OUT)

    def _begin(self, match: int, instance: int) -> None:
        self.seeds[match], self.learner_side[match] = instance // 2, instance % 2
        self.time[match], self.points[match], self.returns[match] = 0, 0.0, 0.0
        self.mine[match] = self.theirs[match] = -1
        self._other.begin(match, instance // 2, instance % 2)

    def _events(self, match: int) -> list[dict[str, Any]]:
        won, step = float(self.outcomes()["won"][match]), int(self.time[match]) - 1
        instance = 2 * int(self.seeds[match]) + int(self.learner_side[match])
        first = match * self._players
        told = [
            {"env": first + place, "step": step, "type": "episode", "return": paid, "won": won, "instance": instance}
            for place, paid in enumerate(self.returns[match].tolist())
        ]
        return told + self._other.end(match, won, first, step)

    def _by_match(self, values: Tensor) -> NDArray[np.int64]:
        return np.asarray(values.cpu().numpy().reshape(self._matches, self._players))

    def _rows(self, values: Any) -> Tensor:
        return torch.from_numpy(np.array(values).reshape(-1)).to(self.device)

    def _observe(self, whose: int) -> dict[str, Tensor]:
        """Return what the learner's side perceives, or, for −1, the other."""
        mine, theirs = (self.mine, self.theirs)[::whose]
        lead = (self.points[:, 0] - self.points[:, 1]) * whose / (self.horizon * self._players)
        rounds = self.time / self.horizon
        per_match = (values.astype(np.float32).repeat(self._players) for values in (rounds, lead))
        return dict(zip(self.state_spec.names, map(self._rows, (*per_match, mine, theirs)), strict=True))


class DuelMasks:
    """Kind `masks`: every move is legal."""

    def __init__(self, config: None, context: BuildContext) -> None:
        pass

    def __call__(self, state: State) -> Masks:
        """Map a state of `[E, ...]` tensors to Masks of `[E, ...]`."""
        mine = state["mine"]
        return Masks({"move": torch.ones(len(mine), _COUNT, dtype=torch.bool, device=mine.device)})
