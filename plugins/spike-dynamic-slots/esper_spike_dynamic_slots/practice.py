"""The practice environment: random states and masks, so that training needs no environment of a plan.

The choice of the last slot is rewarded (without slots, the last entry of the last head), so that only a policy that
reaches every slot earns anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve
from torch import Tensor

from esper_core.composition.build import build_parts
from esper_core.composition.plan import Plan, PlanDescription, describe_plan
from esper_core.contracts.protocols import Masks
from esper_core.learning.config import TrainConfig
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_testing.case import planned_for
from esper_testing.states import random_masks, random_state

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

ENVS, HORIZON = 4, 6
LEGAL = 0.8
"""Probability with which each choice is legal."""


class Practice:
    """Kind `environment`: E environments of random states that reward the last slot."""

    def __init__(self, description: PlanDescription, num_envs: int) -> None:
        self.num_envs, self.horizon = num_envs, HORIZON
        self.actions, self.state_spec = description.actions, description.state_spec
        self._num_slots = description.slots.num_slots
        self._generator = torch.Generator()
        self.rewarded = self.actions.slot or self.actions.names[-1]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[State, dict[str, Any]]:
        """Start new episodes."""
        if seed is not None:
            self._generator.manual_seed(seed)
        self._step = 0
        return self._state(), {}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[State, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Reward 1 where the last entry of the rewarded head was chosen and mattered."""
        self._step += 1
        head = self.actions.head(self.rewarded)
        matters = torch.ones(self.num_envs, dtype=torch.bool)
        if self.actions.root is not None:
            matters = torch.tensor(self.actions.relevance(head.name))[actions[self.actions.root]]
        reward = (matters & (actions[head.name] == head.size - 1)).float()
        ended = torch.full((self.num_envs,), self._step == self.horizon)
        return self._state(), reward, ended, torch.zeros_like(ended), {}

    def masks(self, state: State) -> Masks:
        """Return random masks, drawn anew at every call."""
        return random_masks(self.actions, (self.num_envs,), self._generator, legal=LEGAL)

    def close(self) -> None:
        """There is nothing to close."""

    def _state(self) -> State:
        return random_state(self.state_spec, self.actions, self.num_envs, self._num_slots, self._generator)


def make_learner(plan: Plan, index: Index, num_slots: int, seed: int) -> Trainer:
    """Return a trainer of a plan's policy in the practice environment, with the plan's own loss and settings.

    Args:
        plan: Of its environment only the description is used, of its masks nothing.
        index: Where its components are looked up.
        num_slots: Slots, N.
        seed: Seed of the weights and of training.
    """
    plan = evolve(planned_for(plan, num_slots), seed=seed, envs=max(ENVS, plan.train["num_minibatches"]))
    parts = build_parts(plan, index, only={"features", "network", "critic", "loss"})
    description = describe_plan(plan, index)
    environment = Practice(description, plan.envs)
    return Trainer(
        policy=Policy(parts["network"], parts["critic"], description.actions),
        features=parts["features"],
        masks=environment.masks,
        loss=parts["loss"],
        environment=environment,
        config=TrainConfig(**plan.train),
        seed=seed,
    )
