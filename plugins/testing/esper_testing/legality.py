"""Legal actions: drawn, or put in the place of those that are not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.protocols import Masks
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.legality import find_illegal, neutral


def draw_legal(spec: ActionSpec, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
    """Return a uniform legal operation and uniform legal values of the heads that matter to it, int64 `[E]` each."""
    logits = {name: torch.zeros_like(masks.heads[name], dtype=torch.float32) for name in spec.names}
    return FactoredDistribution(spec, logits, masks).sample(generator, deterministic=False)


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
