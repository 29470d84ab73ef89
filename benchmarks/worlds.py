"""Environments of peers.py: a pole whose velocities are hidden, a cue to remember, and actions that are invalid."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv
from numpy.typing import NDArray
from sb3_contrib.common.envs import InvalidActionEnvDiscrete, InvalidActionEnvMultiDiscrete


class CartPoleWithoutVelocities(CartPoleEnv):
    """Shows position and angle, each as a share of where the episode ends."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, **given: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode."""
        seen, info = super().reset(**given)
        return self._hide(seen), info

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one step."""
        seen, reward, *ends, info = super().step(action)
        return self._hide(seen), float(reward), *ends, info

    def _hide(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.clip(seen[[0, 2]] / (self.x_threshold, self.theta_threshold_radians), -1.0, 1.0).astype(np.float32)


class CueRecall(gymnasium.Env[NDArray[np.float32], int]):
    """Shows one of four cues at the first step, nothing for ten, and pays 1 for naming the cue when asked at the last.

    Cues and question are patterns of 32 signs, the same in every environment.
    """

    CUES, DELAY, WIDTH = 4, 10, 32
    PATTERNS = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (CUES + 1, WIDTH))

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(self.CUES)
        self.observation_space = spaces.Box(-1.0, 1.0, (self.WIDTH,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self.t, self.cue = 0, int(self.np_random.integers(self.CUES))
        return self._see(), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one step."""
        last = self.t == self.DELAY + 1
        self.t += 1
        return self._see(), float(last and int(action) == self.cue), last, False, {}

    def _see(self) -> NDArray[np.float32]:
        shown = {0: self.cue, self.DELAY + 1: self.CUES}
        return self.PATTERNS[shown[self.t]].copy() if self.t in shown else np.zeros(self.WIDTH, np.float32)


class Seeded:
    """Draws an invalid-action environment's targets from its seed."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode."""
        if seed is not None:
            self.action_space.seed(seed)  # type: ignore[attr-defined]
        return super().reset(seed=seed, options=options)  # type: ignore[misc]


class InvalidDiscrete(Seeded, InvalidActionEnvDiscrete):
    """Pays 1 for naming one of 70 numbers, which is shown; 55 of the others are illegal."""

    def __init__(self) -> None:
        super().__init__(dim=70, ep_length=64, n_invalid_actions=55)


class InvalidMultiDiscrete(Seeded, InvalidActionEnvMultiDiscrete):
    """The same for two numbers at once, among 10 and 20; 20 of their values are illegal."""

    def __init__(self) -> None:
        super().__init__(dims=[10, 20], ep_length=64, n_invalid_actions=20)
