"""Environment, features and policy as whoever plays a share of the rows needs them: with what all rows would give.

A row is computed in the place that it has among all rows, together with those of its block, since sums and the ends of
arrays round differently in other places. Whose rows the others are, there is a copy of a row of the share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from esper_core.contracts.protocols import Environment, FeatureExtractor, Features, Masks, State
from esper_core.contracts.share import Share
from esper_core.contracts.tensors import mapped
from esper_core.policy.distribution import FactoredDistribution, draw
from esper_core.policy.policy import ACT_ROWS, ActionOutput, Policy

T = TypeVar("T")


class Widening:
    """Between the rows of a share, and those of its block."""

    def __init__(self, share: Share) -> None:
        self.share, self.block = share, share.block(ACT_ROWS)
        self._before = share.first - self.block.start
        place = torch.arange(self.block.start, self.block.stop) - share.first
        self._place = place.clamp(0, share.count - 1)

    def widened(self, value: T, dim: int = 0) -> T:
        """Return tensors of a block, of those of a share."""
        return mapped(value, lambda tensor: tensor.index_select(dim, self._place))

    def narrowed(self, value: T, dim: int = 0) -> T:
        """Return tensors of a share, of those of its block."""
        return mapped(value, lambda tensor: tensor.narrow(dim, self._before, self.share.count).contiguous())


class SharedFeatures:
    """Features of a share."""

    def __init__(self, features: FeatureExtractor, rows: Widening) -> None:
        self._features, self._rows, self.schema = features, rows, features.schema

    def __call__(self, state: State) -> Features:
        """Map a state to features."""
        return self._rows.narrowed(self._features(self._rows.widened(dict(state))))


class SharedPolicy:
    """A policy of a share: what it draws is drawn for all rows, from the one stream of the run."""

    def __init__(self, policy: Policy, rows: Widening) -> None:
        self._policy, self._rows, self.privileged = policy, rows, policy.privileged

    def initial_state(self, num_envs: int) -> Any:
        """Return the recurrent state of the rows of the share at an episode start."""
        return self._policy.initial_state(num_envs)

    def get_action(
        self, features: Features, masks: Masks, state: Any, *, generator: Any, episode_start: Tensor, check: bool
    ) -> ActionOutput:
        """Choose actions in the rows of the share, as `Policy.get_action`."""
        policy, rows = self._policy, self._rows
        drawn = draw(policy.actions, (rows.share.total,), generator, features.obs.device)
        seen, start = rows.widened(((features, masks), episode_start))
        acted = policy.get_action(
            *seen,
            rows.widened(state, 1),
            episode_start=start,
            drawn={name: value[rows.block] for name, value in drawn.items()},
            check=check,
        )
        logits = rows.narrowed(acted.distribution.logits)
        distribution = FactoredDistribution(policy.actions, logits, masks)
        actions, after = rows.narrowed(acted.actions), rows.narrowed(acted.state, 1)
        return ActionOutput(actions, after, distribution, lambda: rows.narrowed(acted.values))

    def value(self, features: Features, masks: Masks, state: Any) -> Tensor:
        """Return the values of states in the rows of the share, as `Policy.value`."""
        rows = self._rows
        return rows.narrowed(self._policy.value(*rows.widened((features, masks)), rows.widened(state, 1)))


class CountingEnvironment:
    """The environment of a share; `counts` are the events of every step since `begin`."""

    def __init__(self, environment: Environment) -> None:
        self._environment, self.counts = environment, list[int]()
        self.num_envs, self.horizon = environment.num_envs, environment.horizon
        self.actions, self.state_spec = environment.actions, environment.state_spec

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start episodes."""
        return self._environment.reset(seed=seed) if options is None else self._environment.reset(options=options)

    def step(self, actions: Mapping[str, Tensor]) -> Any:
        """Take a step, and count what is told of it."""
        found = self._environment.step(actions)
        info = found[-1] if isinstance(found, tuple | list) and found else None
        self.counts.append(len(info.get("events", ())) if isinstance(info, Mapping) else 0)
        return found

    def close(self) -> None:
        """Close it."""
        self._environment.close()
