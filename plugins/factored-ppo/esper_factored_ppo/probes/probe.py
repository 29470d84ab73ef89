"""A probe: an environment with a known answer, a budget and goals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from esper_core.contracts.tuples import as_tuple
from esper_core.learning.config import TrainConfig

if TYPE_CHECKING:
    from esper_core.learning.trainer import Trainer
    from esper_factored_ppo.probes.environment import ProbeEnvironment

Measure = Callable[["Trainer"], dict[str, float]]


@frozen
class Goal:
    """Bounds of a measured quantity, both included; `text` is how they are printed."""

    text: str
    low: float = -math.inf
    high: float = math.inf

    def reached(self, value: float) -> bool:
        """Return whether a measurement is good enough; NaN is not."""
        return self.low <= value <= self.high


def near(value: float, tolerance: float) -> Goal:
    """Return the goal `= value ± tolerance`."""
    return Goal(f"= {value:.4g} ± {tolerance:g}", value - tolerance, value + tolerance)


def at_least(low: float) -> Goal:
    """Return the goal `≥ low`."""
    return Goal(f"≥ {low:g}", low=low)


def at_most(high: float) -> Goal:
    """Return the goal `≤ high`."""
    return Goal(f"≤ {high:g}", high=high)


@frozen(kw_only=True)
class Probe:
    """An environment with a known answer.

    Attributes:
        name: Begins with the probe's id, such as `P7`.
        catches: Defects that turn it red.
        environment: Class of the environment.
        horizon: Steps per episode, T.
        measure: Returns the quantities of a trained trainer.
        goals: Quantity → where it must lie.
        train: Settings of the trainer.
        updates: Updates of the training.
        critic_updates: Updates before those in which only the critic learns, while the policy stays as it began.
        envs: Episodes side by side, E.
        seeds: Runs, each from its own seed.
        needed: Runs that must reach every goal.
        quick: Part of the set that `--quick` runs.
    """

    name: str
    catches: str
    environment: type[ProbeEnvironment]
    measure: Measure
    goals: Mapping[str, Goal]
    train: TrainConfig
    updates: int
    horizon: int = 1
    critic_updates: int = 0
    envs: int = 64
    seeds: tuple[int, ...] = field(default=(0, 1, 2), converter=as_tuple)
    needed: int = field()
    quick: bool = True

    @needed.default
    def _all(self) -> int:
        return len(self.seeds)

    @property
    def expected(self) -> str:
        """The goals as text."""
        goals = ", ".join(f"{quantity} {goal.text}" for quantity, goal in self.goals.items())
        runs = f"{self.needed} of {len(self.seeds)} seeds" if len(self.seeds) > 1 else "1 seed"
        return f"{goals} ({runs})"

    def reached(self, measured: Mapping[str, float]) -> bool:
        """Return whether one run reached every goal."""
        return all(goal.reached(measured[quantity]) for quantity, goal in self.goals.items())


def in_parts(probe: Probe) -> Probe:
    """Return a probe with rollouts that are half as long again as its episodes, so that they begin and end anywhere."""
    if probe.train.rollout_steps:
        return probe
    return evolve(probe, train=evolve(probe.train, rollout_steps=probe.horizon + (probe.horizon + 1) // 2))
