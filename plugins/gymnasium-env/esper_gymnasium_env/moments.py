"""Running means and deviations, as stable-baselines3's VecNormalize has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from esper_gymnasium_env.describe import FARTHEST

EPSILON = 1e-8
"""Added to a variance before its root is taken."""


@define(eq=False)
class Moments:
    """Mean and variance of all rows seen so far, float64 `[D]`, by Chan's parallel update.

    They begin as 0 and 1, with the weight of a ten-thousandth of a row.
    """

    width: int
    mean: NDArray[np.float64] = field(init=False)
    var: NDArray[np.float64] = field(init=False)
    count: float = 1e-4

    def __attrs_post_init__(self) -> None:
        self.mean, self.var = np.zeros(self.width), np.ones(self.width)

    def update(self, rows: NDArray[np.float64]) -> None:
        """Take up rows `[n, D]`."""
        count = len(rows)
        mean = rows.mean(axis=0)
        total, apart = self.count + count, mean - self.mean
        spread = self.var * self.count + np.square(rows - mean).sum(axis=0)
        self.var = (spread + np.square(apart) * (self.count * count / total)) / total
        self.mean, self.count = self.mean + apart * (count / total), total

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation, never 0."""
        return np.sqrt(self.var + EPSILON)

    def state(self) -> dict[str, Any]:
        """Return everything that is known, as numbers."""
        return {"mean": self.mean.tolist(), "var": self.var.tolist(), "count": self.count}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`; raises ValueError for another width."""
        mean, var = (np.array(state[name], np.float64) for name in ("mean", "var"))
        if mean.shape != (self.width,) or var.shape != (self.width,):
            raise ValueError(f"it has statistics of {mean.size} numbers, not of {self.width}")
        self.mean, self.var, self.count = mean, var, float(state["count"])


class RewardScale:
    """Divides rewards by the running deviation of each environment's discounted return, E environments side by side."""

    def __init__(self, envs: int, gamma: float) -> None:
        self._gamma, self._returns, self._moments = gamma, np.zeros(envs), Moments(1)

    def begin(self, rows: NDArray[np.intp]) -> None:
        """Forget the return of rows whose episode begins."""
        self._returns[rows] = 0.0

    def __call__(self, rows: NDArray[np.intp], reward: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take up what these rows paid, `[n]`, and return what is to be learned from."""
        returns = self._returns[rows] = self._returns[rows] * self._gamma + reward
        self._moments.update(returns[:, None])
        return np.clip(reward / self._moments.deviation, -FARTHEST, FARTHEST)

    def state(self) -> dict[str, Any]:
        """Return everything that the next reward depends on."""
        return {**self._moments.state(), "returns": self._returns.tolist()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self._moments.load_state(state)
        self._returns[:] = state["returns"]
