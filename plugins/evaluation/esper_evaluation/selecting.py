"""Acting by rules that are chosen for an episode when it begins, by what it is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from esper_core.contracts.protocols import Masks, Rule
from esper_evaluation.selector import Selector
from esper_testing.player import Separately

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


def world_of(state: State, fields: Sequence[str]) -> list[list[float]]:
    """Return what each environment's episode is of, `[E, F]`: of a field `[E, N]` the mean over slots."""
    columns = [state[name].double().flatten(1) if state[name].dim() > 1 else state[name][:, None] for name in fields]
    means = [column.double().mean(dim=1) for column in columns]
    return torch.stack(means, dim=1).tolist() if means else []


class Selecting:
    """Kind `rule`, for one environment: does what the rule does that a tree chooses at the first step.

    Args:
        selector: The tree.
        make: Makes the rule of a name.

    Attributes:
        chosen: Name of the rule that acts; None before the first step.
    """

    def __init__(self, selector: Selector, make: Callable[[str], Rule]) -> None:
        self._selector, self._make = selector, make
        self.chosen: str | None = None

    def reset(self, num_envs: int) -> None:
        """Begin an episode, whose rule is still to be chosen."""
        self.chosen = None

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the rule's actions, `[1]` per head."""
        if self.chosen is None:
            (world,) = world_of(state, self._selector.fields)
            self.chosen = self._selector.choose(world)
            self._rule = self._make(self.chosen)
            self._rule.reset(1)
        return self._rule(state, masks, generator)


class Watching(Separately):
    """Rules of their own for every environment, and what their episodes are of.

    Args:
        rules: One per environment or match.
        seeds: Seeds of their randomness.
        fields: Fields of the state that say it.

    Attributes:
        world: What each environment's episode is of, `[E, F]`, once it has begun; empty without fields.
    """

    def __init__(self, rules: Sequence[Rule], seeds: Sequence[int], fields: Sequence[str]) -> None:
        super().__init__(rules, seeds)
        self._fields, self._begun = fields, False
        self.world: list[list[float]] = []

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the actions of all, as environments take them."""
        if not self._begun:
            self.world, self._begun = world_of(state, self._fields), True
        return super().__call__(state, masks, generator)
