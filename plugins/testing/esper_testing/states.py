"""Random states and masks that keep to their tables, and actions that do not keep to masks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.protocols import Masks
from esper_core.contracts.state import StateField, StateSpec
from esper_core.policy.legality import find_illegal, neutral
from esper_testing.legality import chosen_between

TRIES = 8
"""Random actions of every environment among which one is looked for that is illegal."""


def random_state(
    state_spec: StateSpec,
    actions: ActionSpec,
    num_envs: int,
    num_slots: int,
    generator: torch.Generator,
    *,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Return every field of the table, each value uniform in its declared range (bounds included for integers).

    Fields are drawn independently, so combinations appear that an environment would never publish.

    Returns:
        name → tensor `[E, ...]`: `dtype` for float fields, int64 for int, bool for bool, uint8 for uint8.
    """
    sizes = {f.name: f.sizes(num_envs, num_slots, len(actions.ops)) for f in state_spec.fields}
    return {f.name: _draw(f, sizes[f.name], generator, dtype) for f in state_spec.fields}


def _draw(entry: StateField, sizes: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    if entry.dtype == "bool":
        return torch.rand(sizes, generator=generator) < 0.5
    if entry.dtype in ("int", "uint8"):
        whole = torch.int64 if entry.dtype == "int" else torch.uint8
        return torch.randint(int(entry.low), int(entry.high) + 1, sizes, generator=generator).to(whole)
    return entry.low + (entry.high - entry.low) * torch.rand(sizes, generator=generator, dtype=dtype)


def random_masks(
    actions: ActionSpec, shape: tuple[int, ...], generator: torch.Generator, *, legal: float = 0.6
) -> Masks:
    """Return masks in which each entry is legal with probability `legal`, kept consistent.

    The root head's neutral operation is always legal. An operation to which the slot head matters is legal exactly
    where some slot is legal for it, so a row in which no such operation is legal has no legal slot. Every other
    categorical head has a legal entry in every row.

    Args:
        actions: The action table.
        shape: Leading axes, such as `(E,)` or `(E, T)`.
        generator: Source of randomness.
        legal: Probability of each entry before it is made consistent.

    Returns:
        Masks of bool tensors: `heads[name] [*shape, K]`, `slot_given_op [*shape, O, N]` if there is a slot head.
    """
    heads = {head.name: _some_legal(shape, head.size, generator, legal) for head in actions.categorical}
    if actions.root is None:
        return Masks(heads=heads)
    root = actions.category(actions.root)
    ops = heads[root.name]
    ops[..., root.neutral] = True
    if actions.slot is None:
        return Masks(heads=heads)

    uses_slot = torch.tensor(actions.relevance(actions.slot))
    slot_given_op = torch.rand(*shape, root.size, actions.head(actions.slot).size, generator=generator) < legal
    slot_given_op &= uses_slot[:, None] & ops[..., None]
    if uses_slot[root.neutral]:
        slot_given_op[..., root.neutral, 0] = True
    heads[root.name] = ops & (slot_given_op.any(-1) | ~uses_slot)
    heads[actions.slot] = slot_given_op.any(-2)
    return Masks(heads=heads, slot_given_op=slot_given_op)


def illegal_actions(actions: ActionSpec, masks: Masks, taken: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return for every categorical head where it mattered to the operation and took what is illegal, bool `[E]`.

    Args:
        actions: The action table.
        masks: Legal actions, `[E, ...]`.
        taken: int64 `[E]` per categorical head; others are not looked at.
    """
    found = {}
    op = None if actions.root is None else taken[actions.root]
    for head in actions.categorical:
        legal = masks.heads[head.name]
        matters = torch.ones(len(legal), dtype=torch.bool)
        if op is not None and head.name != actions.root:
            matters = torch.tensor(actions.relevance(head.name))[op]
            if head.name == actions.slot and masks.slot_given_op is not None:
                legal = masks.slot_given_op[torch.arange(len(op)), op]
        found[head.name] = matters & ~legal.gather(1, taken[head.name].unsqueeze(1)).squeeze(1)
    return found


def find_stray(spec: ActionSpec, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return per head where it does not matter to the operation and yet is not neutral: bool `[E]`."""
    if spec.root is None:
        return {}
    op = actions[spec.root]
    calm = neutral(spec, len(op), op.device)
    stray = {}
    for name in (head.name for head in spec.children):
        moved = (actions[name] != calm[name]).reshape(len(op), -1).any(-1)
        stray[name] = ~torch.tensor(spec.relevance(name), device=op.device)[op] & moved
    return stray


def made_illegal(spec: ActionSpec, masks: Masks, actions: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return actions `[E]` of which one row is masked, with numbers beyond their bounds; None where none was found."""
    generator = torch.Generator().manual_seed(0)
    beyond = {head.name: actions[head.name].new_tensor(head.high) + 1 for head in spec.continuous}
    for _ in range(TRIES):
        anything = {
            head.name: torch.randint(head.size, actions[head.name].shape, generator=generator)
            for head in spec.categorical
        } | {name: value.expand_as(actions[name]) for name, value in beyond.items()}
        illegal = torch.stack(list(find_illegal(spec, masks, anything).values())).any(0)
        if bool(illegal.any()):
            chosen = torch.arange(len(illegal)) == int(illegal.int().argmax())
            return chosen_between(dict.fromkeys(spec.names, chosen), anything, actions)
    return None


def _some_legal(shape: tuple[int, ...], size: int, generator: torch.Generator, legal: float) -> Tensor:
    """Return bool `[*shape, size]` with at least one true entry per row."""
    mask = torch.rand(*shape, size, generator=generator) < legal
    sure = torch.randint(0, size, (*shape, 1), generator=generator)
    return mask.scatter(-1, sure, True)
