"""What an environment gets of what a policy drew."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec, ContinuousHead

FARTHEST = 0.95
"""How far towards a bound `intended` goes; u is 1.83 there, and grows without end beyond."""


def executed(spec: ActionSpec, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return actions as `Environment.step` takes them: categories as they are, numbers as float32 within their bounds.

    Of a continuous head, `actions` are the drawn u `[..., n]`: squashed into the bounds, or cut off there.
    """
    done = dict(actions)
    for head in spec.continuous:
        u = done[head.name].float()
        low, high, middle, half = _bounds(head, u.device)
        # Rounding may lead beyond a bound, also of what is squashed.
        done[head.name] = (middle + half * torch.tanh(u) if head.squash else u).clamp(low, high)
    return done


def intended(spec: ActionSpec, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a policy would have to draw for executed actions: the inverse of `executed`.

    No u is squashed into a bound itself, so at most `FARTHEST` of the way from the middle to a bound is asked for.
    """
    drawn = dict(actions)
    for head in spec.continuous:
        if head.squash:
            value = actions[head.name].float()
            _, _, middle, half = _bounds(head, value.device)
            drawn[head.name] = torch.atanh(((value - middle) / half).clamp(-FARTHEST, FARTHEST))
    return drawn


@lru_cache(maxsize=64)
def _bounds(head: ContinuousHead, device: torch.device) -> tuple[Tensor, ...]:
    """Return the lowest, the highest and the middle number, and half of what is between, each float32 `[n]`."""
    with torch.inference_mode(False):
        low, high = torch.tensor((head.low, head.high), dtype=torch.float64)
        parts = (low, high, low / 2 + high / 2, high / 2 - low / 2)
        return tuple(part.to(device, torch.float32) for part in parts)
