"""Drivers of the other side of matches: a policy, and a rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from esper_core.contracts.foreign import UNKNOWN, Owner
from esper_core.contracts.protocols import FeatureExtractor, MaskProvider, Rule, State
from esper_core.contracts.tensors import mapped
from esper_core.policy.boundary import check_mask_form, take_features
from esper_core.policy.executed import executed
from esper_core.policy.policy import Policy

BLOCK = 32
"""Batches are filled up to a multiple of so many rows.

Libraries multiply matrices of a few rows in other orders than larger ones, and round otherwise. Filled up, what is done
in a match is the same whatever is played beside it.
"""


class PolicyDriver:
    """A policy as a driver. It and its features are used as they are: who goes on learning with them gives copies.

    Args:
        name: Its name.
        policy, features, masks: What acts.
        rows: Rows of a match and side.
        deterministic: It takes the most probable entry of every head, and the mean of numbers, instead of drawing.
    """

    def __init__(
        self,
        name: str,
        policy: Policy,
        features: FeatureExtractor,
        masks: MaskProvider,
        rows: int,
        *,
        deterministic: bool = False,
    ) -> None:
        self.name, self.rows, self.deterministic = name, rows, deterministic
        self._policy, self._features, self._masks = policy, features, masks

    def initial_memory(self, matches: int) -> Any:
        """Return the policy's recurrent state at the beginning, `[layers, matches·rows, H]`."""
        state = self._policy.initial_state(matches * self.rows)
        return () if state is None else state

    @torch.no_grad()
    def __call__(self, state: State, memory: Any, begins: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Any]:
        """Return actions `[R·rows, …]` on the state's device, and the recurrent state."""
        policy, parameter, home = self._policy, next(self._policy.parameters()), begins.device
        device, owners, rows = parameter.device, policy.owners, len(begins)
        filled = torch.arange(-(-rows // BLOCK) * BLOCK, device=home).clamp_max(rows - 1)
        there, starts, shares = mapped(
            (dict(state), begins, noise), lambda value: value.index_select(0, filled).to(device)
        )
        with owners["features"].doing("looking"):
            found = self._features(there)
        schema = self._features.schema
        features = take_features(owners["features"], found, schema, len(starts), parameter.dtype, device)
        with owners["masks"].doing("saying what is legal"):
            masks = self._masks(there)
        check_mask_form(owners["masks"], masks, policy.actions, len(starts), device)
        before = mapped(memory, lambda value: value.index_select(1, filled.to(device))) or None
        acted = policy.get_action(
            features, masks, before, self.deterministic, episode_start=starts, noise=shares, check=False
        )
        actions = mapped(executed(policy.actions, acted.actions), lambda value: value[:rows].to(home))
        after = mapped(acted.state, lambda value: value[:, :rows].contiguous())
        return actions, () if after is None else after


class RuleDriver:
    """A rule as a driver, for one whose actions follow from what it sees: it may draw, but must remember nothing.

    A rule that draws acts in one match after the other, each with randomness of its own.

    Args:
        name: Its name.
        rule, masks: What acts.
        rows: Rows of a match and side.
        owner: Whose code the rule is.
    """

    def __init__(self, name: str, rule: Rule, masks: MaskProvider, rows: int, owner: Owner = UNKNOWN["rule"]) -> None:
        self.name, self.rows = name, rows
        self._rule, self._masks, self._owner, self._draws = rule, masks, owner, False

    def initial_memory(self, matches: int) -> Any:
        """Return nothing."""
        return ()

    def __call__(self, state: State, memory: Any, begins: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Any]:
        """Return actions `[R·rows, …]`."""
        if not self._draws:
            generator = torch.Generator()
            before = generator.get_state()
            actions = self._act(state, generator)
            self._draws = not torch.equal(before, generator.get_state())
        if self._draws:
            acted = []
            for first in range(0, len(begins), self.rows):
                own = slice(first, first + self.rows)
                generator = torch.Generator().manual_seed(int(float(noise[first, 0]) * 2**53))
                acted.append(self._act({name: value[own] for name, value in state.items()}, generator))
            actions = {name: torch.cat([part[name] for part in acted]) for name in acted[0]}
        return actions, ()

    def _act(self, state: State, generator: torch.Generator) -> dict[str, Tensor]:
        masks = self._masks(state)
        with self._owner.doing("choosing actions"):
            return self._rule(state, masks, generator)
