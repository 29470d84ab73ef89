"""What an environment gets of what a policy drew."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec, ContinuousHead


def executed(spec: ActionSpec, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return actions as `Environment.step` takes them: categories as they are, numbers as float32 within their bounds.

    Of a continuous head, `actions` are the drawn u `[..., n]`: squashed into the bounds, or cut off there.
    """
    done = dict(actions)
    for head in spec.continuous:
        low, high = _bounds(head, done[head.name].device)
        u = done[head.name].float()
        # Rounding may lead beyond a bound, also of what is squashed.
        value = low + (torch.tanh(u) + 1) * (0.5 * (high - low)) if head.squash else u
        done[head.name] = value.clamp(low, high)
    return done


@lru_cache(maxsize=64)
def _bounds(head: ContinuousHead, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):
        low, high = (torch.tensor(bounds, dtype=torch.float32, device=device) for bounds in (head.low, head.high))
    return low, high
