"""The arena as a `ParallelEnv` of PettingZoo, in which mechs of both teams are agents."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from esper_core.system.packages import require_package
from esper_echelon.matches.curriculum import FIELDS, CurriculumState
from esper_echelon.matches.describe import FARTHEST, reward_weights
from esper_echelon.perception.layout import FLAT_OBS_DIM
from esper_echelon.perception.observation import observe
from esper_echelon.simulation.arena import ENDINGS, TIME, Arena, Step
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import ACTIONS

require_package("pettingzoo", "PettingZoo adapter of Echelon", "esper-echelon")
from pettingzoo import ParallelEnv  # noqa: E402

_logger = logging.getLogger("esper")

TEAMS = ("blue", "red")
"""What names of agents begin with; blue is the learner's team of an arena."""

Observations = dict[str, NDArray[np.float32]]
SEEDS = 2**31


class EchelonParallelEnv(ParallelEnv[str, NDArray[np.float32], NDArray[np.float32]]):
    """One match; agents are `blue_0`, `blue_1`, … and `red_0`, …, by place in their team.

    Whoever dies has terminated and leaves `agents`; the same holds for all when the match is over, which is a
    truncation where time was up. `infos` name an agent's role and what its reward is made of, and in the end the
    winning team, empty for a draw, and how the match ended.

    Args:
        packs: Packs of a team at most, 1 or 2.
        packs_per_team_range: Least and most packs of a team, drawn per match; none said is always `packs`.
        map_size_range: Least and most of the map's side, m, drawn per match.
        visibility: `full` or `partial`.
        rewards: Other weights of the reward by name, as `environment.rewards` has them.
        render_mode: `rgb_array`, or None.

    Raises:
        ValueError: one of them cannot be; the message names it.
        ConfigError: there is no such weight, or it is no number.
    """

    metadata = {"name": "echelon", "render_modes": ["rgb_array"], "render_fps": 4, "is_parallelizable": True}  # noqa: RUF012

    def __init__(
        self,
        packs: int = 1,
        packs_per_team_range: tuple[int, int] | None = None,
        map_size_range: tuple[int, int] = (40, 40),
        visibility: str = "full",
        rewards: Mapping[str, float] | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is '{render_mode}', not rgb_array or None")
        if visibility not in ("full", "partial"):
            raise ValueError(f"visibility is '{visibility}', not full or partial")
        self.render_mode = render_mode
        self._curriculum = CurriculumState(1.0, map_size_range, packs_per_team_range or (packs, packs))
        self._check(self._curriculum, packs)
        self.roster = Roster(packs)
        self._how: dict[str, Any] = {"visibility": visibility, "weights": reward_weights(rewards or {})}
        self._arena: Arena | None = None
        self._last: Step | None = None
        n = self.roster.team_size
        self.possible_agents = [f"{team}_{place}" for team in TEAMS for place in range(n)]
        self.agents: list[str] = []
        self._place = {agent: place for place, agent in enumerate(self.possible_agents)}
        seen = {agent: Box(-FARTHEST, FARTHEST, (FLAT_OBS_DIM,), np.float32) for agent in self.possible_agents}
        acts = {agent: Box(-1.0, 1.0, (len(ACTIONS),), np.float32) for agent in self.possible_agents}
        self.observation_spaces, self.action_spaces = seen, acts
        self._generator = np.random.default_rng()
        self._warned = False

    def observation_space(self, agent: str) -> Box:
        """Return what an agent observes: 706 numbers."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box:
        """Return what an agent does: 9 numbers."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observations, dict[str, dict[str, Any]]]:
        """Begin a match. A seed determines it, and those that follow without one.

        Of the options `map_size_range` and `packs_per_team_range` hold from this match on, `side` 1 lets the teams
        change corners in this one; others are not looked at.

        Raises:
            ValueError: an option cannot be; the message names it.
        """
        said = {name: value for name, value in (options or {}).items() if name in FIELDS}
        curriculum = self._curriculum.merged(**said)
        self._check(curriculum, self.roster.packs)
        self._curriculum = curriculum
        if seed is not None:
            self._generator = np.random.default_rng(seed)
        drawn = int(self._generator.integers(SEEDS)) if seed is None else int(seed)
        size, packs = curriculum.drawn(drawn)
        if self._arena is None or self._arena.grounds.largest < size:
            self._arena = Arena(self.roster, 1, largest=size, **self._how)
        self._arena.begin(0, drawn, size, packs, int((options or {}).get("side", 0)))
        self._last = None
        present = self._arena.mechs.present[0]
        self.agents = [agent for agent, place in self._place.items() if present[place]]
        infos = {agent: {**self._about(agent), "map_size": size, "packs": packs} for agent in self.agents}
        return self._observed(self.agents), infos

    def step(
        self, actions: Mapping[str, NDArray[np.float32]]
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Take one decision of all agents; who says nothing does nothing. Numbers that are not finite become 0.

        Raises:
            ValueError: there is no match, no such agent, or an action is not 9 numbers wide.
        """
        if self._arena is None or not self.agents:
            raise ValueError("no match goes on; call reset first")
        if unknown := [str(agent) for agent in actions if agent not in self._place]:
            raise ValueError(f"there is no agent {', '.join(unknown)}; agents are {', '.join(self.agents)}")
        arena, living = self._arena, self.agents
        wanted = np.zeros((1, len(self._place), len(ACTIONS)))
        for agent, action in actions.items():
            if np.shape(action) != (len(ACTIONS),):
                raise ValueError(f"the action of {agent} has the shape {np.shape(action)}, not ({len(ACTIONS)},)")
            wanted[0, self._place[agent]] = action
        self._warn_of(wanted[0])
        step = self._last = arena.step(wanted)
        over, late = bool(arena.over[0]), bool(arena.ending[0] == TIME)
        alive = arena.mechs.alive[0]
        dead = {agent: not alive[self._place[agent]] for agent in living}
        terminated = {agent: dead[agent] or (over and not late) for agent in living}
        truncated = {agent: over and late and not dead[agent] for agent in living}
        rewards = {agent: float(step.reward[0, self._place[agent]]) for agent in living}
        infos = {agent: self._told(agent, step, over) for agent in living}
        observations = self._observed(living)
        self.agents = [agent for agent in living if not (terminated[agent] or truncated[agent])]
        return observations, rewards, terminated, truncated, infos

    def render(self) -> NDArray[np.uint8] | None:
        """Return the match seen from above, uint8 `[height, width, 3]`, or None without `rgb_array`.

        Raises:
            ValueError: no match has begun.
            MissingPackage: Pillow is not installed.
        """
        if self.render_mode is None:
            return None
        if self._arena is None:
            raise ValueError("no match has begun; call reset first")
        from esper_echelon.drawing import picture, require_pillow

        require_pillow()
        return picture(self._arena, 0, None if self._last is None else self._last.happenings)

    def close(self) -> None:
        """Free nothing: a match holds nothing but memory."""

    def _observed(self, agents: list[str]) -> Observations:
        assert self._arena is not None
        seen = observe(self._arena)[0]
        return {agent: seen[self._place[agent]].copy() for agent in agents}

    def _told(self, agent: str, step: Step, over: bool) -> dict[str, Any]:
        assert self._arena is not None
        place = self._place[agent]
        parts = {name: float(values[0, place]) for name, values in step.components.items()}
        told = {**self._about(agent), "reward_components": parts}
        if over:
            winner = int(self._arena.winner()[0])
            told |= {"winner": TEAMS[winner] if winner >= 0 else "", "ending": ENDINGS[int(self._arena.ending[0])]}
        return told

    def _warn_of(self, wanted: NDArray[np.float64]) -> None:
        bad = ~np.isfinite(wanted)
        if bad.any() and not self._warned:
            self._warned = True
            place, number = np.argwhere(bad)[0].tolist()
            _logger.warning(
                "An action of echelon is not finite: '%s' of %s. Such numbers become 0.",
                ACTIONS[number],
                self.possible_agents[place],
            )

    def _about(self, agent: str) -> dict[str, Any]:
        return {"role": self.roster.roles[self._place[agent] % self.roster.team_size]}

    @staticmethod
    def _check(curriculum: CurriculumState, packs: int) -> None:
        if curriculum.packs_per_team_range[1] > packs:
            raise ValueError(
                f"packs_per_team_range is {curriculum.packs_per_team_range}, but there are agents for {packs} a team; "
                "say so with packs"
            )


def parallel_env(**how: Any) -> EchelonParallelEnv:
    """Return the environment, by the name that PettingZoo's modules have for it."""
    return EchelonParallelEnv(**how)
