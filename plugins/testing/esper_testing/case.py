"""What checks look at: the policy of a plan, built for one slot count, and data to feed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from esper_core.composition.build import build_parts
from esper_core.composition.plan import Plan, PlanDescription, describe_plan
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.protocols import Features, Masks
from esper_core.contracts.slots import SlotConfig
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_testing.states import random_masks, random_state

ENVS, STEPS = 8, 6


@frozen
class Case:
    """A policy built for `num_slots` slots.

    Attributes:
        description: Actions, state and observation of that plan.
    """

    num_slots: int
    plan: Plan
    description: PlanDescription
    extract: Any
    policy: Policy

    @property
    def schema(self) -> FeatureSchema:
        """Layout of the observation."""
        return self.description.feature_schema

    @property
    def network(self) -> Any:
        """The network."""
        return self.policy.network

    def features(self, seed: int = 0) -> Features:
        """Return features of random states: `obs [E, T, D]`, `indices [E, T, width]`, `arrays [E, T, *shape]`."""
        generator = torch.Generator().manual_seed(seed)
        spec, actions = self.description.state_spec, self.description.actions
        steps = [
            self.extract(random_state(spec, actions, ENVS, self.num_slots, generator, dtype=torch.float32))
            for _ in range(STEPS)
        ]

        def stacked(part: Callable[[Features], Mapping[str, Tensor]]) -> dict[str, Tensor]:
            return {name: torch.stack([part(step)[name] for step in steps], 1) for name in part(steps[0])}

        obs = torch.stack([step.obs for step in steps], 1)
        return Features(obs, stacked(lambda step: step.indices), stacked(lambda step: step.arrays))

    def masks(self, seed: int = 0, *, legal: float = 0.6) -> Masks:
        """Return consistent random masks `[E, T, ...]`."""
        generator = torch.Generator().manual_seed(seed)
        return random_masks(self.description.actions, (ENVS, STEPS), generator, legal=legal)

    def actions(self, seed: int = 0) -> dict[str, Tensor]:
        """Return random actions `[E, T]`, numbers as drawn; every operation occurs, so every head matters somewhere."""
        generator = torch.Generator().manual_seed(seed)
        spec = self.description.actions
        shape = (ENVS, STEPS)
        actions = {head.name: torch.randint(head.size, shape, generator=generator) for head in spec.categorical}
        actions |= {h.name: torch.randn(*shape, len(h.dims), generator=generator) for h in spec.continuous}
        if spec.root is not None:
            actions[spec.root] = (torch.arange(ENVS * STEPS) % len(spec.ops)).reshape(ENVS, STEPS)
        return actions

    def slot_columns(self, slot: int) -> slice:
        """Return the columns of the observation that describe a slot."""
        width = len(self.schema.per_slot)
        first = len(self.schema.base) + slot * width
        return slice(first, first + width)


def make_case(
    plan: Plan, index: Index, num_slots: int, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Case:
    """Build the policy of a plan for another slot count, from the plan's seed.

    Raises:
        EsperError: a component cannot be built for this slot count.
    """
    plan = evolve(planned_for(plan, num_slots), device=device, envs=ENVS)
    parts = build_parts(plan, index, only={"features", "network", "critic"}, dtype=dtype)
    description = describe_plan(plan, index)
    policy = Policy(parts["network"], parts["critic"], description.actions)
    return Case(num_slots, plan, description, parts["features"], policy)


def planned_for(plan: Plan, num_slots: int) -> Plan:
    """Return a plan with other slots, on the CPU."""
    return evolve(plan, slots=SlotConfig.for_grid(1, num_slots).slot_ids, device="cpu")


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that training moves, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
