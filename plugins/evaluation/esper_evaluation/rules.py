"""Rules for any environment, which look at nothing but what is legal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_core.policy.legality import neutral
from esper_testing.legality import draw_legal, made_legal, some_rows

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


class Static:
    """Kind `rule`: the neutral action always, or the first legal one where it is illegal."""

    def __init__(self, config: None, context: BuildContext) -> None:
        self.actions = context.actions

    def reset(self, num_envs: int) -> None:
        """Keep no state."""

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return int64 `[E]`, or float32 `[E, n]` for numbers, per head."""
        some = some_rows(state, masks)
        return made_legal(self.actions, masks, neutral(self.actions, len(some), some.device))


class Random(Static):
    """Kind `rule`: a uniform legal operation, then uniform legal values of every head that matters to it.

    Numbers are uniform between their bounds, or normal where they have none.
    """

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return int64 `[E]`, or float32 `[E, n]` for numbers, per head."""
        return draw_legal(self.actions, masks, state, generator)
