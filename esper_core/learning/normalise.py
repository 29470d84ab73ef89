"""Running statistics of returns, so that the critic always learns targets of mean 0 and spread 1."""

from __future__ import annotations

import math

import torch
from attrs import define
from torch import Tensor

SMALLEST_STD = 1e-4


@define
class ReturnNormaliser:
    """Mean and standard deviation of all returns seen, in float64.

    Merging follows Chan et al. (1979). Whoever merges must call the critic's `rescale_` with the statistics before
    and after, so that predictions in units of reward do not move (PopArt, van Hasselt et al., 2016).

    Attributes:
        enabled: When false the statistics stay at mean 0 and std 1.
        count: Returns seen.
        mean: Their mean.
        squares: Their summed squared distance from the mean.
    """

    enabled: bool = True
    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def std(self) -> float:
        """Standard deviation, at least `SMALLEST_STD`; 1 before the first merge."""
        if not self.count:
            return 1.0
        return max(math.sqrt(self.squares / self.count), SMALLEST_STD)

    def merge(self, returns: Tensor) -> None:
        """Add returns `[M]` to the statistics; nothing happens when disabled or when there are none."""
        if not self.enabled or returns.numel() == 0:
            return
        values = returns.detach().to("cpu", torch.float64)
        count = float(values.numel())
        mean = float(values.mean())
        delta, total = mean - self.mean, self.count + count
        self.squares += float((values - mean).square().sum()) + delta * delta * self.count * count / total
        self.mean += delta * count / total
        self.count = total

    def normalise(self, returns: Tensor) -> Tensor:
        """Map units of reward to what the critic learns."""
        return (returns - self.mean) / self.std

    def denormalise(self, values: Tensor) -> Tensor:
        """Map what the critic says to units of reward."""
        return values * self.std + self.mean

    def state(self) -> dict[str, Tensor]:
        """Return the statistics as float64 tensors."""
        return {name: torch.tensor(getattr(self, name), dtype=torch.float64) for name in ("count", "mean", "squares")}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`."""
        self.count, self.mean, self.squares = (float(state[name]) for name in ("count", "mean", "squares"))
