"""Running statistics of returns, so that the critic always learns targets of mean 0 and spread 1."""

from __future__ import annotations

import math

import torch
from attrs import define
from torch import Tensor

ROUNDING = 1e-6
"""What differs by less than this share of its size is equal: in float32 that is what rounding leaves."""


@define
class ReturnNormaliser:
    """Mean and spread of all returns seen, in float64, and the units in which the critic predicts.

    Merging follows Chan et al. (1979); `squares` is the summed squared distance of the `count` returns seen from their
    mean. Whoever merges must call the critic's `rescale_` with the units before and after, so that predictions in units
    of reward do not move (PopArt, van Hasselt et al., 2016). Unless `enabled` the critic predicts in units of reward.
    """

    enabled: bool = True
    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def spread(self) -> float:
        """Standard deviation of the returns, in units of reward; 0 while all have been equal, but for rounding."""
        std = math.sqrt(self.squares / self.count) if self.count else 0.0
        return std if std > ROUNDING * abs(self.mean) else 0.0

    @property
    def offset(self) -> float:
        """The return that a prediction of 0 stands for."""
        return self.mean if self.enabled else 0.0

    @property
    def unit(self) -> float:
        """The change of the return that a prediction one higher stands for; 1 where the spread is 0."""
        return (self.spread or 1.0) if self.enabled else 1.0

    def merge(self, returns: Tensor) -> None:
        """Add returns `[M]` to the statistics; nothing happens when there are none."""
        if returns.numel() == 0:
            return
        values = returns.detach().to("cpu", torch.float64)
        count = float(values.numel())
        mean = float(values.mean())
        delta, total = mean - self.mean, self.count + count
        self.squares += float((values - mean).square().sum()) + delta * delta * self.count * count / total
        self.mean += delta * count / total
        self.count = total

    def weigh(self, count: float) -> None:
        """Let what was seen count as `count` returns at most; mean and spread stay."""
        if self.count > count:
            self.squares, self.count = self.squares * count / self.count, count

    def normalise(self, returns: Tensor) -> Tensor:
        """Map units of reward to what the critic learns."""
        return (returns - self.offset) / self.unit

    def denormalise(self, values: Tensor) -> Tensor:
        """Map what the critic says to units of reward."""
        return values * self.unit + self.offset

    def state(self) -> dict[str, Tensor]:
        """Return the statistics as float64 tensors."""
        return {name: torch.tensor(getattr(self, name), dtype=torch.float64) for name in ("count", "mean", "squares")}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`."""
        self.count, self.mean, self.squares = (float(state[name]) for name in ("count", "mean", "squares"))
