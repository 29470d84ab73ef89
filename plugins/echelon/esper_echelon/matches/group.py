"""Matches that are played in one process: the arena, who drives the other team, and what is to be told of a match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from attrs import asdict
from numpy.typing import NDArray

from esper_core.contracts.errors import EpisodesLost
from esper_core.contracts.protocols import BuildContext
from esper_core.contracts.sides import Driver
from esper_core.learning.opponents import OtherSide
from esper_echelon.drawing import PACE, picture, require_pillow
from esper_echelon.heat_maps.spatial import MatchMaps
from esper_echelon.matches.config import EchelonConfig
from esper_echelon.matches.curriculum import LARGEST_MAP, CurriculumState
from esper_echelon.matches.describe import HEAD, MAP_SIZE, reward_weights
from esper_echelon.matches.drivers import driver_of, weapons
from esper_echelon.perception.layout import FLAT_OBS_DIM
from esper_echelon.perception.observation import observe
from esper_echelon.perception.schema import SUITE
from esper_echelon.simulation.arena import ENDINGS, TIME, Arena
from esper_echelon.simulation.happenings import Happenings
from esper_echelon.simulation.mechs import Mechs
from esper_echelon.simulation.noise import Purpose, uniform
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import ACTIONS, CHASSIS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Begun(NamedTuple):
    """What m matches show, of which some have just begun.

    Attributes:
        suite: float32 `[m, n, 706]`, of the learner's team.
        present: bool `[m, n]`, who takes part.
        size, packs: int64 `[m]`, sides of the maps, m, and packs of a team.
        side: int64 `[m]`, corner of the learner's team.
        weapon_prob: `[m]`.
    """

    suite: NDArray[np.float32]
    present: Flags
    size: NDArray[np.int64]
    packs: NDArray[np.int64]
    side: NDArray[np.int64]
    weapon_prob: Floats


class Stepped(NamedTuple):
    """What came of a step of m matches: rewards float64 and flags bool, `[m, n]`; `suite` as in `Begun`.

    `events` are about rows of the learner's team, counted from the first match's first.
    """

    suite: NDArray[np.float32]
    reward: Floats
    terminated: Flags
    truncated: Flags
    events: list[dict[str, Any]]


class Standing(NamedTuple):
    """How a match is going, for people: `alive` and `hp`, a fraction, by place of the learner's team."""

    clock: int
    score: tuple[float, float]
    size: int
    present: list[bool]
    alive: list[bool]
    hp: list[float]


class Group:
    """Plays `count` matches side by side. Rows and matches are counted from 0 here, whatever else a run plays."""

    def __init__(self, config: EchelonConfig, context: BuildContext, count: int) -> None:
        self._roster = Roster(config.packs)
        self._n = self._roster.team_size
        weights = reward_weights(config.rewards)
        self._arena = Arena(self._roster, count, config.visibility, weights, LARGEST_MAP)
        self._other = OtherSide(context.actions, count, self._n, driver_of(config.opponent, context, self._n))
        self._weapons = weapons(self._roster)
        self._maps = MatchMaps(count) if config.heat_maps else None
        self._curriculum = config.course().base
        self._weapon_prob = np.ones(count)
        self._active = np.zeros((count, self._n), np.bool_)
        self._returns = np.zeros((count, self._n))
        self._parts: dict[str, Floats] = {}
        self._bad = np.zeros(count, np.int64)
        self._instances = [0] * count
        self._happened: Happenings | None = None
        self._seen = np.zeros((count, 2 * self._n, FLAT_OBS_DIM), np.float32)

    def set_curriculum(self, state: CurriculumState) -> None:
        """Let the matches that begin from now on be like this."""
        self._curriculum = state

    def curriculum(self) -> CurriculumState:
        """Return what the next match is like."""
        return self._curriculum

    def set_opponents(self, drivers: Sequence[Driver | str], weights: Sequence[float]) -> None:
        """Let new matches draw one of these; a name stands for the driver that had it at the last call."""
        found = [self._other.driver(one) if isinstance(one, str) else one for one in drivers]
        self._other.set(found, weights)

    def opponents(self) -> tuple[str, ...]:
        """Return the names of those who drive the other team of the matches in progress."""
        return self._other.opponents

    def begin(self, matches: Sequence[int], seeds: Sequence[int], sides: Sequence[int]) -> Begun:
        """Begin some matches, each from its seed and on its side."""
        for match, seed, side in zip(matches, seeds, sides, strict=True):
            size, packs = self._curriculum.drawn(seed)
            self._arena.begin(match, seed, size, packs, side)
            self._other.begin(match, seed, side)
            self._weapon_prob[match] = self._curriculum.weapon_prob
            self._active[match] = self._mechs.present[match, : self._n]
            self._returns[match], self._bad[match] = 0.0, 0
            for total in self._parts.values():
                total[match] = 0.0
            self._instances[match] = 2 * seed + side
            if self._maps is not None:
                self._maps.reset(match)
        self._seen, self._happened = observe(self._arena), None
        return self._begun()

    def step(self, actions: Floats) -> Stepped:
        """Take one step in every match that is not over, with actions `[m, n, 9]` of the learner's team."""
        before, running = self._active, ~self._arena.over
        if not before.any():
            none = np.zeros(before.shape, np.bool_)
            return Stepped(self._shown(), np.zeros(before.shape), none, none, [])
        self._bad += (~np.isfinite(actions) & before[:, :, None]).sum((1, 2))
        watched = running[:, None] & self._mechs.alive
        found = self._arena.step(np.concatenate([actions, self._driven(running)], axis=1))
        self._happened = found.happenings
        reward = np.where(before, found.reward[:, : self._n], 0.0)
        self._returns += reward
        for name, paid in found.components.items():
            total = self._parts.setdefault(name, np.zeros(before.shape))
            total += np.where(before, paid[:, : self._n], 0.0)
        if self._maps is not None:
            self._map(self._maps, watched, found.happenings)
        died = before & ~self._mechs.alive[:, : self._n]
        left = before & ~died & self._arena.over[:, None]
        truncated = left & (self._arena.ending == TIME)[:, None]
        terminated = died | (left & ~truncated)
        self._active = before & ~terminated & ~truncated
        self._seen = observe(self._arena)
        events = self._events(terminated | truncated, running & self._arena.over)
        return Stepped(self._shown(), reward, terminated, truncated, events)

    def outcomes(self) -> dict[str, Floats]:
        """Return what came of each match, `[m]`, in the description's order."""
        arena, mechs, n = self._arena, self._mechs, self._n
        winner = arena.winner()
        present, alive = (flags.reshape(-1, 2, n).sum(2) for flags in (mechs.present, mechs.alive))
        share = alive / np.maximum(present, 1)
        return {
            "won": np.where(winner < 0, 0.5, winner == 0).astype(np.float64),
            "margin": arena.score[:, 0] - arena.score[:, 1],
            "survivors": share[:, 0],
            "losses_caused": 1.0 - share[:, 1],
            "length": arena.clock.astype(np.float64),
        }

    def standings(self, matches: Sequence[int]) -> list[Standing]:
        """Return how some matches are going."""
        full = np.array([known.hp for known in CHASSIS])[self._roster.chassis[: self._n]]
        return [
            Standing(
                int(self._arena.clock[match]),
                (float(self._arena.score[match, 0]), float(self._arena.score[match, 1])),
                int(self._arena.grounds.size[match]),
                self._mechs.present[match, : self._n].tolist(),
                self._mechs.alive[match, : self._n].tolist(),
                np.clip(self._mechs.hp[match, : self._n] / full, 0.0, 1.0).tolist(),
            )
            for match in matches
        ]

    def show(self) -> float:
        """Find out whether the first match can be looked at; return how many pictures a second are its own pace."""
        require_pillow()
        return PACE

    def frame(self) -> NDArray[np.uint8]:
        """Return how the first match looks, uint8 `[height, width, 3]`."""
        require_pillow()
        return picture(self._arena, 0, self._happened)

    def state(self) -> dict[str, Any]:
        """Return what the next step or match depends on, as JSON can hold it."""
        return {
            "arena": self._arena.state(),
            "maps": None if self._maps is None else self._maps.state(),
            "curriculum": asdict(self._curriculum),
            "weapon_prob": self._weapon_prob.tolist(),
            "active": self._active.tolist(),
            "returns": self._returns.tolist(),
            "parts": {name: total.tolist() for name, total in self._parts.items()},
            "bad": self._bad.tolist(),
            "instances": list(self._instances),
            "other": self._other.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> Begun:
        """Go on where `state()` was taken, and return what matches show there.

        Raises:
            EpisodesLost: it was taken when nothing said who drove the other team.
        """
        if "other" not in state:
            raise EpisodesLost("The matches of echelon that were saved do not say who played against whom.")
        self._arena.load_state(state["arena"])
        if self._maps is not None and state["maps"] is not None:
            self._maps.load_state(state["maps"])
        self._curriculum = CurriculumState(**state["curriculum"])
        self._weapon_prob[:] = state["weapon_prob"]
        self._active[:] = state["active"]
        self._returns[:] = state["returns"]
        self._parts = {name: np.array(total, np.float64) for name, total in state["parts"].items()}
        self._bad[:] = state["bad"]
        self._instances[:] = state["instances"]
        self._other.load_state(state["other"])
        self._seen = observe(self._arena)
        return self._begun()

    def close(self) -> None:
        """Hold nothing."""

    # Its pieces -----------------------------------------------------------------------------------------------------

    @property
    def _mechs(self) -> Mechs:
        return self._arena.mechs

    def _shown(self) -> NDArray[np.float32]:
        return self._seen[:, : self._n].copy()

    def _begun(self) -> Begun:
        arena = self._arena
        present = self._mechs.present[:, : self._n].copy()
        size, packs, side = (values.copy() for values in (arena.grounds.size, arena.packs, arena.side))
        return Begun(self._shown(), present, size, packs, side, self._weapon_prob.copy())

    def _driven(self, running: Flags) -> Floats:
        """Return the actions of the other team, `[m, n, 9]`: those of its drivers, but for the fire that is held."""
        suite = np.ascontiguousarray(self._seen[:, self._n :].reshape(-1, FLAT_OBS_DIM))
        size = self._arena.grounds.size.astype(np.float32).repeat(self._n)
        state = {SUITE: torch.from_numpy(suite), MAP_SIZE: torch.from_numpy(size)}
        acted = self._other.act(running, state)[HEAD].cpu().numpy()
        actions = acted.astype(np.float64).reshape(len(running), self._n, len(ACTIONS))
        if (self._weapon_prob < 1.0).any():
            held = self._noise(np.arange(len(running)), Purpose.HOLD_FIRE) >= self._weapon_prob[:, None]
            actions[held[:, :, None] & self._weapons] = 0.0
        return actions

    def _noise(self, matches: NDArray[np.intp], purpose: int) -> Floats:
        """Return a number in [0, 1) for each place of the other team, `[R, n]`."""
        arena = self._arena
        drawn = uniform(arena.seeds[matches], arena.clock[matches], arena.side[matches], 0, purpose, 2 * self._n)
        return drawn[:, self._n :]

    def _map(self, maps: MatchMaps, watched: Flags, happened: Happenings) -> None:
        size, damage, deaths = self._arena.grounds.size, happened.damage, happened.deaths
        maps.record_positions(self._mechs.position, watched, size)
        maps.record_damage(damage.match, damage.x, damage.y, damage.amount, size)
        maps.record_deaths(deaths.match, deaths.x, deaths.y, size)

    def _events(self, ended: Flags, over: Flags) -> list[dict[str, Any]]:
        """Return what is told of rows and matches that have ended in this step."""
        events: list[dict[str, Any]] = []
        if not ended.any():
            return events
        outcomes = self.outcomes()
        for match in np.flatnonzero(ended.any(1)).tolist():
            told = dict(self._told(match, outcomes)) if over[match] else {}
            step = int(self._arena.clock[match]) - 1
            for place in np.flatnonzero(ended[match]).tolist():
                row = {"env": match * self._n + place, "step": step}
                paid = {f"reward/{name}": float(total[match, place]) for name, total in self._parts.items()}
                own = {"return": float(self._returns[match, place]), "length": step + 1, **paid, **told}
                events.append({**row, "type": "episode", "instance": self._instances[match], **own})
                if told:
                    events += self._other.end(match, told["won"], row["env"], step)
                if told and self._maps is not None:
                    events.append({**row, "instance": self._instances[match], **self._maps.to_event(match)})
                told = {}
        return events

    def _told(self, match: int, outcomes: Mapping[str, Floats]) -> dict[str, Any]:
        """Return what is told once of a match that is over."""
        said = {name: float(values[match]) for name, values in outcomes.items() if name != "length"}
        ending = ENDINGS[int(self._arena.ending[match])]
        return {
            **said,
            "match_length": int(self._arena.clock[match]),
            **{f"ended/{name}": name == ending for name in ENDINGS if name != "running"},
            "weapon_prob": float(self._weapon_prob[match]),
            "map_size": int(self._arena.grounds.size[match]),
            "packs": int(self._arena.packs[match]),
            "bad_actions": int(self._bad[match]),
        }
