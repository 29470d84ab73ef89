"""What the masks say about actions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.protocols import Masks
from esper_core.policy.distribution import FactoredDistribution


def find_illegal(spec: ActionSpec, masks: Masks, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return per head where its value `[E]` is out of range, or masked although the head matters: bool `[E]`."""
    logits = {name: torch.zeros_like(masks.heads[name], dtype=torch.float32) for name in spec.names}
    inside = {head.name: actions[head.name].clamp(0, head.size - 1) for head in spec.heads}
    op = inside[spec.root] if spec.root is not None else None
    illegal = {}
    for name, head in FactoredDistribution(spec, logits, masks).given(op).items():
        legal = head.legal.gather(-1, inside[name][..., None]).squeeze(-1)
        illegal[name] = (head.relevant & ~legal) | (inside[name] != actions[name])
    return illegal


def neutral(spec: ActionSpec, num_envs: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Return every head's neutral value, int64 `[E]`."""
    return {head.name: torch.full((num_envs,), head.neutral, device=device) for head in spec.heads}
