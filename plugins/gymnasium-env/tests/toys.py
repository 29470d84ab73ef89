"""Small environments with known answers; `register_all` makes them known to Gymnasium."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Counter(gymnasium.Env[Any, Any]):
    """Pays the step's number; ends after `length` steps; `allowed` says what is legal."""

    def __init__(self, length: int = 4, action: Any = None, observation: Any = None, mask: Any = None) -> None:
        self.length, self.mask = length, mask
        self.action_space = spaces.Discrete(3, start=5) if action is None else action
        self.observation_space = spaces.Box(0.0, 10.0, (2,)) if observation is None else observation
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._see()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken.append(action)
        self.t += 1
        seen, info = self._see()
        return seen, float(self.t), self.t == self.length, False, info

    def _see(self) -> tuple[Any, dict[str, Any]]:
        if isinstance(self.observation_space, spaces.Box):
            seen: Any = np.full(self.observation_space.shape, self.t, np.float32)
        else:
            seen = self.observation_space.sample()
        return seen, {} if self.mask is None else {"action_mask": self.mask}


class WithMethod(Counter):
    """Says what is legal as environments for sb3-contrib do: only the action that is as far along as the episode."""

    def action_masks(self) -> list[bool]:
        return [self.t % 3 == i for i in range(3)]


def register_all() -> None:
    gymnasium.register("toys/Counter-v0", Counter)
    gymnasium.register("toys/Limited-v0", Counter, max_episode_steps=6)
    gymnasium.register("toys/Method-v0", WithMethod, max_episode_steps=6)
