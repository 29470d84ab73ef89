"""The episodes that a player is in: what is remembered of them, and the states that it is shown."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from esper_core.composition.plan import PlanDescription
from esper_core.contracts.errors import PluginError, UserError
from esper_core.contracts.foreign import Owner
from esper_core.contracts.protocols import FeatureExtractor, State
from esper_core.contracts.tensors import leaves, mapped
from esper_core.learning.boundary import check_state
from esper_core.policy.policy import Policy

STATE = Owner("The state")


@frozen
class PlayerState:
    """What a player remembers of the episodes it is in: `Player.save` returns it, and `Player.load` takes it.

    Attributes:
        rows: Episodes side by side, E.
        recurrent: The network's recurrent state, tensors `[layers, E, H]`.
        begins: Episodes of which the next step is the first, bool `[E]`.
        features: What the features remember.
    """

    rows: int
    recurrent: Any
    begins: Tensor
    features: FeatureExtractor


def begin(policy: Policy, features: FeatureExtractor, rows: int) -> PlayerState:
    """Return what is remembered before the first step; `features` have seen no state, and are copied."""
    begins = torch.ones(rows, dtype=torch.bool, device=next(policy.parameters()).device)
    return PlayerState(rows, policy.initial_state(rows), begins, copy.deepcopy(features))


def fitting(state: PlayerState, policy: Policy, device: torch.device) -> PlayerState:
    """Return a copy of a state on a device; raises UserError for what is no state, or that of another policy."""
    if not isinstance(state, PlayerState):
        raise UserError(
            f"A {type(state).__name__} is no state of a player.", hint="Player.save() and Player.predict() return one."
        )
    mine, saved = leaves(policy.initial_state(state.rows), "recurrent"), leaves(state.recurrent, "recurrent")
    for name in sorted(mine.keys() | saved.keys()):
        here, there = (list(table[name].shape) if name in table else "missing" for table in (mine, saved))
        if here != there:
            raise UserError(f"The state is another policy's: its '{name}' is {there}, not {here}.")
    # A schema never changes, and is most of what there is to copy.
    schema = state.features.schema
    return mapped(copy.deepcopy(state, {id(schema): schema}), lambda tensor: tensor.to(device))


def take_state(state: State, rows: int, name: str, known: PlanDescription, device: torch.device) -> State:
    """Return what the environment called `name` published, on a device; raises UserError for what another one did."""
    spec = known.state_spec
    if not isinstance(state, Mapping):
        raise UserError(f"The state is a {type(state).__name__}, not a table of tensors by name.")
    missing = [field for field in spec.names if field not in state]
    if missing:
        raise UserError(
            f"The state has no '{missing[0]}', which the environment '{name}' publishes.",
            hint=f"The policy was trained in '{name}': use player.make_environment(). "
            f"The state has: {', '.join(map(str, state)) or 'nothing'}.",
        )
    here = {key: torch.as_tensor(state[key], device=device) for key in spec.names}
    if (found := len(here[spec.names[0]])) != rows:
        raise UserError(
            f"The state is that of {found} episodes, and the player is in {rows}.",
            hint="Call player.reset(rows) with the number of environments.",
        )
    try:
        check_state(STATE, here, spec, known.actions, rows)
    except PluginError as error:
        what = error.message.partition(": ")[2]
        raise UserError(f"The state is not one of the environment '{name}': {what}") from error
    return here
