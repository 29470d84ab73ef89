"""Which instances episodes are of: drawn for all rows, as often as each is repeated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch

from esper_core.contracts.protocols import Share
from esper_growth.config import GrowthConfig
from esper_growth.instance_weights import InstanceWeights, kind_of
from esper_growth.problems import Problem, Problems
from esper_growth.runtime import stable_seed


class Draws:
    """The stream of instances that training plays.

    Args:
        rows: Which of all rows are played here.
        seed: Of the stream.
    """

    def __init__(self, config: GrowthConfig, problems: Problems, rows: Share, seed: int) -> None:
        self._config, self._problems, self._rows = config, problems, rows
        self._weights = InstanceWeights.of(config.instance_weights)
        self._seed, self._episodes = seed, 0

    def restart(self, seed: int) -> None:
        """Begin another stream."""
        self._seed, self._episodes = seed, 0

    def next(self) -> list[int]:
        """Return the instances of these rows' next episodes."""
        generator = torch.Generator().manual_seed(stable_seed("instances", self._seed, self._episodes))
        wanted, drawn = -(-self._rows.total // self._config.repeats), list[int]()
        while len(drawn) < wanted:
            order = torch.randperm(self._config.instances, generator=generator).tolist()
            # Kinds are looked at no farther than needed: that draws a family's data.
            played = (number for i in order if self._is_played(number := self._config.first_instance + i, generator))
            drawn += itertools.islice(played, wanted - len(drawn))
        return [number for number in drawn for _ in range(self._config.repeats)][self._rows.rows]

    def pass_one(self) -> None:
        """Count episodes that begin, of whatever instances."""
        self._episodes += 1

    def said_of(self, problem: Problem) -> dict[str, float]:
        """Return the weight of a problem's kind, by the name that events have for it, where kinds have weights."""
        return {"instance_weight": self._weight(problem)} if self._weights.entries else {}

    def state(self) -> dict[str, int]:
        """Return what the next draw depends on."""
        return {"seed": self._seed, "episodes": self._episodes}

    def load_state(self, state: Mapping[str, int]) -> None:
        """Go on where `state()` was taken."""
        self._seed, self._episodes = state["seed"], state["episodes"]

    def _is_played(self, instance: int, generator: torch.Generator) -> bool:
        """Return whether an instance that was drawn is played; where all kinds are alike nothing more is drawn."""
        if not self._weights.entries:
            return True
        return float(torch.rand((), generator=generator)) < self._weight(self._problems.at(instance))

    def _weight(self, problem: Problem) -> float:
        return self._weights.weight(kind_of(problem.task.name, problem.builder.name))
