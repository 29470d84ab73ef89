"""What the masks say about actions: drawing legal ones, and finding those that are not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.protocols import Masks
from esper_core.policy.distribution import FactoredDistribution

TRIES = 8
"""Random actions of every environment among which one is looked for that is illegal."""


def draw_legal(spec: ActionSpec, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
    """Return a uniform legal operation and uniform legal values of the heads that matter to it, int64 `[E]` each."""
    logits = {name: torch.zeros_like(masks.heads[name], dtype=torch.float32) for name in spec.names}
    return FactoredDistribution(spec, logits, masks).sample(generator, deterministic=False)


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


def find_stray(spec: ActionSpec, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return per head where it does not matter to the operation and yet is not neutral: bool `[E]`."""
    if spec.root is None:
        return {}
    op = actions[spec.root]
    return {
        head.name: ~torch.tensor(spec.relevance(head.name), device=op.device)[op] & (actions[head.name] != head.neutral)
        for head in spec.children
    }


def neutral(spec: ActionSpec, num_envs: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Return every head's neutral value, int64 `[E]`."""
    return {head.name: torch.full((num_envs,), head.neutral, device=device) for head in spec.heads}


def made_legal(spec: ActionSpec, masks: Masks, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return actions `[E]` in which an illegal combination is replaced.

    With a root head by the neutral operation, without one by the first legal value of the head.
    """
    illegal = find_illegal(spec, masks, actions)
    if spec.root is None:
        return {
            name: torch.where(illegal[name], masks.heads[name].int().argmax(-1), actions[name]) for name in spec.names
        }
    anywhere = torch.stack(list(illegal.values())).any(0)
    calm = neutral(spec, len(anywhere), anywhere.device)
    return {name: torch.where(anywhere, calm[name], actions[name]) for name in spec.names}


def made_illegal(spec: ActionSpec, masks: Masks, actions: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return actions `[E]` in one of whose environments something is masked; None where nothing was found to be."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(TRIES):
        anything = {
            name: torch.randint(size, actions[name].shape, generator=generator) for name, size in spec.sizes.items()
        }
        illegal = torch.stack(list(find_illegal(spec, masks, anything).values())).any(0)
        if bool(illegal.any()):
            chosen = torch.arange(len(illegal)) == int(illegal.int().argmax())
            return {name: torch.where(chosen, anything[name], actions[name]) for name in spec.names}
    return None
