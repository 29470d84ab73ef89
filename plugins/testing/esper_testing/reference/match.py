"""The reference environment of several agents: archers who share a field, shoot at targets and tire.

A match has three rows. Some are absent, the tired leave early, and the rest stay until the match is over. An archer
rests, or aims at a number that only they know; who aims tires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_core.contracts.spaces import action_space, observation_space
from esper_testing.reference.config import MatchConfig
from esper_testing.reference.describe import ARCHERS, PLAY, describe_match

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

ABSENT = 0.3
"""How likely every archer of a match but the first stays away."""

REST = 0.1
"""What a step pays in which an archer rests; aiming pays up to 1."""

_KEPT = ("time", "target", "energy", "company", "running", "returns")


class Match(VectorEnv[Any, Any, Any]):
    """Kind `environment`: pays archers for aiming at their targets; its rows are the archers of all matches."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, config: MatchConfig, context: BuildContext) -> None:
        known = describe_match(config, context.slots)
        self.actions, self.state_spec, self.horizon = known.actions, known.state, known.horizon
        self.num_envs, self.device = context.num_envs, context.device
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.single_observation_space = observation_space(self.state_spec, context.slots.num_slots, len(PLAY))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._seed, self._rows = context.seed, context.rows
        self._games = torch.zeros(self.num_envs // ARCHERS, dtype=torch.int64)
        zeros = torch.zeros(self.num_envs, device=self.device)
        self._now = {name: zeros.clone() for name in _KEPT} | {"running": zeros.bool()}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Begin matches, all or those whose rows are in the mask; a seed restarts the randomness."""
        if seed is not None:
            self._seed, self._games = seed, self._games * 0
        chosen = (options or {}).get("reset_mask")
        begun = torch.ones(self.num_envs, dtype=torch.bool) if chosen is None else torch.tensor(chosen)
        drawn = torch.cat([self._drawn(match) for match in range(len(self._games))])
        self._games += begun[::ARCHERS]
        first = torch.arange(self.num_envs) % ARCHERS == 0
        present = first | (drawn[:, 0] >= ABSENT)
        share = present.view(-1, ARCHERS).float().mean(1).repeat_interleave(ARCHERS)
        start = {
            "time": torch.zeros(self.num_envs),
            "target": 2 * drawn[:, 1] - 1,
            "energy": 1 + (drawn[:, 2] * (self.horizon - 1)).floor(),
            "company": share,
            "running": present,
            "returns": torch.zeros(self.num_envs),
        }
        begun = begun.to(self.device)
        self._now = {name: torch.where(begun, start[name].to(self.device), old) for name, old in self._now.items()}
        return self._observe(), {"absent": begun & ~present.to(self.device)}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Let those shoot who are still there; nothing changes about the others."""
        now, running = self._now, self._now["running"]
        aiming = actions["play"] == PLAY.index("AIM")
        miss = (actions["aim"][:, 0] - now["target"]).abs() / 2
        reward = torch.where(running, torch.where(aiming, 1 - miss, REST), 0.0)
        energy = now["energy"] - (running & aiming).float()
        time = now["time"] + running.float()
        terminated = running & (energy <= 0)
        truncated = running & ~terminated & (time >= self.horizon)
        left = running & ~terminated & ~truncated
        share = left.view(-1, ARCHERS).float().mean(1).repeat_interleave(ARCHERS)
        returns = now["returns"] + reward
        company = torch.where(running, share, now["company"])
        self._now = dict(zip(_KEPT, (time, now["target"], energy, company, left, returns), strict=True))
        events = [
            {"env": row, "step": int(time[row]) - 1, "type": "episode", "return": float(returns[row])}
            for row in (terminated | truncated).nonzero().flatten().tolist()
        ]
        return self._observe(), reward, terminated, truncated, {"events": events}

    def state(self) -> dict[str, Any]:
        """Return all that what follows depends on, in the middle of matches too."""
        kept = {name: value.tolist() for name, value in self._now.items()}
        return {"seed": self._seed, "games": self._games.tolist(), **kept}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""
        self._seed, self._games = state["seed"], torch.tensor(state["games"])
        self._now = {name: torch.tensor(state[name], device=self.device) for name in _KEPT}

    def joined(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the state of all rows."""
        rows = {name: [one for state in states for one in state[name]] for name in ("games", *_KEPT)}
        return {**states[0], **rows}

    def parted(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state of these rows."""
        first, end = (edge // ARCHERS for edge in (self._rows.first, self._rows.first + self._rows.count))
        return {**state, "games": state["games"][first:end], **{name: state[name][self._rows.rows] for name in _KEPT}}

    def _drawn(self, match: int) -> Tensor:
        """Return the numbers in [0, 1) that the next match of a place begins with, `[ARCHERS, 3]`."""
        place = self._rows.first // ARCHERS + match
        words = np.random.SeedSequence([self._seed, place, int(self._games[match])]).generate_state(1)
        generator = torch.Generator().manual_seed(int(words[0]))
        return torch.rand(ARCHERS, 3, generator=generator)

    def _observe(self) -> dict[str, Tensor]:
        now = self._now
        return {
            "clock": now["time"] / self.horizon,
            "target": now["target"].clone(),
            "energy": now["energy"] / self.horizon,
            "company": now["company"].clone(),
            "there": now["running"].clone(),
        }


class MatchMasks:
    """Kind `masks`: whoever is there may aim."""

    def __init__(self, config: None, context: BuildContext) -> None:
        pass

    def __call__(self, state: State) -> Masks:
        """Map a state of `[E, ...]` tensors to Masks of `[E, ...]`."""
        there = state["there"]
        return Masks({"play": torch.stack([torch.ones_like(there), there], dim=-1)})
