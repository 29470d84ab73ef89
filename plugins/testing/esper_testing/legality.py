"""Legal actions, as environments take them: drawn, or put in the place of those that are not."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

import torch
from attrs import evolve
from torch import Tensor

from esper_core.contracts.actions import ActionSpec, ContinuousHead
from esper_core.contracts.protocols import Masks
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.legality import find_illegal, neutral

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


def draw_legal(spec: ActionSpec, masks: Masks, state: State, generator: torch.Generator) -> dict[str, Tensor]:
    """Return a uniform legal operation and uniform legal values of the heads that matter to it.

    They are int64 `[E]`, and float32 `[E, n]` for numbers. Masks or state say how many rows there are.
    """
    some = some_rows(state, masks)
    calm = neutral(spec, len(some), some.device)
    categories = evolve(spec, heads=spec.categorical)
    logits = {name: torch.zeros_like(mask, dtype=torch.float32) for name, mask in masks.heads.items()}
    drawn = FactoredDistribution(categories, logits, masks).sample(generator) if logits else {}
    for head in spec.continuous:
        value = _uniform(head, len(some), generator).to(some.device)
        if spec.root is not None:
            matters = torch.tensor(spec.relevance(head.name), device=some.device)[drawn[spec.root]]
            value = torch.where(matters.unsqueeze(-1), value, calm[head.name])
        drawn[head.name] = value
    return {name: drawn[name] for name in spec.names}


def some_rows(state: State, masks: Masks) -> Tensor:
    """Return any tensor `[E, ...]` of these: it has the rows and the device of them all."""
    return next(chain(masks.heads.values(), state.values()))


def made_legal(spec: ActionSpec, masks: Masks, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return actions `[E]` in which an illegal combination is replaced.

    With a root head by the neutral operation, without one by the first legal value of the head, or neutral numbers.
    """
    illegal = find_illegal(spec, masks, actions)
    anywhere = torch.stack(list(illegal.values())).any(0)
    instead = neutral(spec, len(anywhere), anywhere.device)
    if spec.root is None:
        instead |= {name: mask.int().argmax(-1) for name, mask in masks.heads.items()}
    where = dict.fromkeys(spec.names, anywhere) if spec.root is not None else illegal
    return chosen_between(where, instead, actions)


def chosen_between(
    where: Mapping[str, Tensor], one: Mapping[str, Tensor], other: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return, per head, actions of `one` in the rows where `where [E]` is true, else of the other."""
    return {
        name: torch.where(rows.reshape(-1, *[1] * (one[name].dim() - 1)), one[name], other[name])
        for name, rows in where.items()
    }


def _uniform(head: ContinuousHead, rows: int, generator: torch.Generator) -> Tensor:
    """Return numbers `[rows, n]`: uniform between their bounds, or normal up to them where a bound is infinite."""
    shape = rows, len(head.dims)
    low, high = torch.tensor(head.low), torch.tensor(head.high)
    drawn, normal = torch.rand(shape, generator=generator), torch.randn(shape, generator=generator)
    width = high - low
    return torch.where(width.isfinite(), low + drawn * width, normal).clamp(low, high)
