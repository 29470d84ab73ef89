"""What the masks say about actions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import evolve
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.protocols import Masks
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.executed import executed


def find_illegal(spec: ActionSpec, masks: Masks, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return per head where its executed action is out of range, or masked although the head matters: bool `[E]`."""
    logits = {name: torch.zeros_like(mask, dtype=torch.float32) for name, mask in masks.heads.items()}
    inside = {head.name: actions[head.name].clamp(0, head.size - 1) for head in spec.categorical}
    op = inside[spec.root] if spec.root is not None else None
    categories = evolve(spec, heads=spec.categorical)
    illegal = {}
    for name, head in FactoredDistribution(categories, logits, masks).given(op).items() if categories.heads else ():
        legal = head.legal.gather(-1, inside[name][..., None]).squeeze(-1)
        illegal[name] = (head.relevant & ~legal) | (inside[name] != actions[name])
    for numbers in spec.continuous:
        value = actions[numbers.name]
        low, high = (value.new_tensor(bounds) for bounds in (numbers.low, numbers.high))
        illegal[numbers.name] = ~((value >= low) & (value <= high)).all(-1)
    return illegal


def neutral(spec: ActionSpec, num_envs: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Return every head's neutral action as it is executed: int64 `[E]`, numbers `[E, n]` of u = 0."""
    categories = {head.name: torch.full((num_envs,), head.neutral, device=device) for head in spec.categorical}
    numbers = {head.name: torch.zeros(num_envs, len(head.dims), device=device) for head in spec.continuous}
    return executed(spec, categories | numbers)
