"""The mask provider `lifecycle`: what the stage of each slot allows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_growth.actions import Op
from esper_growth.lifecycle import legal_slots
from esper_growth.protocols import Blueprint, axes_of, fits


def legal_blueprints(context: BuildContext) -> tuple[bool, ...]:
    """Return which labels of the blueprint head name a blueprint that fits the host's topology."""
    topology, blueprints = context.parts["host"].topology, context.parts["blueprint"]
    axes = axes_of(context.parts["task"])

    def legal(blueprint: Blueprint) -> bool:
        return topology in blueprint.topologies and fits(blueprint, topology, axes)

    labels = context.actions.category("blueprint").labels
    return tuple(label in blueprints and legal(blueprints[label]) for label in labels)


class LifecycleMasks:
    """Kind `masks`. Op × slot legality is exact; only gate G5 may still refuse a legal FOSSILIZE."""

    def __init__(self, config: None, context: BuildContext) -> None:
        self._fixed = {
            head.name: torch.ones(head.size, dtype=torch.bool, device=context.device)
            for head in context.actions.heads
            if head.name not in ("op", "slot")
        }
        self._fixed["blueprint"] = torch.tensor(legal_blueprints(context), device=context.device)
        self._can_germinate = bool(self._fixed["blueprint"].any())

    def __call__(self, state: Mapping[str, Tensor]) -> Masks:
        """Map a state of `[E, N]` tensors to Masks: `op [E, O]`, `slot [E, N]`, `slot_given_op [E, O, N]`, others."""
        slots = legal_slots(state["stage"], state["age"], state["alpha_mode"], state["auto_advance"])
        if not self._can_germinate:
            slots[:, Op.GERMINATE] = False
        ops = slots.any(dim=2)
        ops[:, Op.WAIT] = True
        num_envs = ops.shape[0]
        heads = {name: mask.expand(num_envs, -1) for name, mask in self._fixed.items()}
        return Masks(heads={"op": ops, "slot": slots.any(dim=1), **heads}, slot_given_op=slots)
