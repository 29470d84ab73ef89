"""Action sampling: what is drawn is in range, legal, and every slot can be drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esper_core.contracts.protocols import Features, Masks
from esper_core.policy.policy import ActionOutput
from esper_testing.case import ENVS, Case

CATEGORY = "action sampling"
DRAWS = 64


def test_what_is_drawn_is_legal(case: Case) -> None:
    """Many draws under many masks: every index is in range, and legal where its head matters."""
    actions = case.description.actions
    for seed in range(DRAWS):
        masks = _first(case.masks(seed))
        drawn = _draw(case, masks, seed).actions
        op = None if actions.root is None else drawn[actions.root]
        for head in actions.heads:
            chosen = drawn[head.name]
            assert chosen.shape == (ENVS,), f"head '{head.name}' gives {tuple(chosen.shape)} for {ENVS} environments"
            assert ((chosen >= 0) & (chosen < head.size)).all(), f"head '{head.name}' drew {chosen.tolist()}"
            legal = _legal(masks, actions.slot, head.name, op).gather(-1, chosen[:, None]).squeeze(-1)
            if op is not None and head.name != actions.root:
                legal = legal | ~torch.tensor(actions.relevance(head.name))[op]
            assert legal.all(), f"head '{head.name}' drew an illegal index: {chosen[~legal].tolist()}"


def test_every_slot_can_be_drawn(case: Case) -> None:
    """Where an operation on slots is due and one slot is legal, that slot is drawn, whichever it is."""
    actions = case.description.actions
    if actions.slot is None or actions.root is None:
        pytest.skip("the actions have no slot head")
    uses_slot = torch.tensor(actions.relevance(actions.slot))
    masks = _first(case.masks(legal=1.0))
    for slot in range(case.num_slots):
        given = torch.zeros(ENVS, len(actions.ops), case.num_slots, dtype=torch.bool)
        given[:, uses_slot, slot] = True
        heads = {**masks.heads, actions.root: uses_slot.expand(ENVS, -1), actions.slot: given.any(1)}
        drawn = _draw(case, Masks(heads, given), seed=slot).actions[actions.slot]
        assert (drawn == slot).all(), f"only slot {slot} of {case.num_slots} is legal, but {drawn.tolist()} were drawn"


def test_the_same_seed_draws_the_same(case: Case) -> None:
    """Draws depend on the generator alone, and the deterministic choice on nothing."""
    masks = _first(case.masks())
    for deterministic in (False, True):
        first, second = (_draw(case, masks, 0, deterministic).actions for _ in range(2))
        other = [name for name in first if not torch.equal(first[name], second[name])]
        assert not other, f"heads {', '.join(other)} differ under the same seed, deterministic={deterministic}"


def test_log_prob_and_values_come_with_it(case: Case) -> None:
    """Every head has one finite log-probability per environment, and the critic one value."""
    drawn = _draw(case, _first(case.masks()), 0)
    for name, value in (*drawn.log_prob.items(), ("values.value", drawn.values.value)):
        assert value.shape == (ENVS,), f"'{name}' is {tuple(value.shape)} for {ENVS} environments"
        assert torch.isfinite(value).all(), f"'{name}' is not finite"
    assert drawn.log_prob.keys() == set(case.description.actions.names)
    positive = [name for name, value in drawn.log_prob.items() if (value > 0).any()]
    assert not positive, f"log-probabilities above 0: {', '.join(positive)}"


@torch.no_grad()
def _draw(case: Case, masks: Masks, seed: int, deterministic: bool = False) -> ActionOutput:
    features = case.features()
    seen = Features(features.obs[:, 0], {name: value[:, 0] for name, value in features.indices.items()})
    generator = torch.Generator().manual_seed(seed)
    state = case.policy.initial_state(ENVS)
    return case.policy.get_action(seen, masks, state, generator=generator, deterministic=deterministic)


def _first(masks: Masks) -> Masks:
    """Return the masks of the first step, `[E, ...]`."""
    given = masks.slot_given_op
    return Masks({name: value[:, 0] for name, value in masks.heads.items()}, None if given is None else given[:, 0])


def _legal(masks: Masks, slot: str | None, head: str, op: Tensor | None) -> Tensor:
    """Return the legal entries of a head given the operation, `[E, K]`."""
    if head == slot and op is not None:
        assert masks.slot_given_op is not None
        return masks.slot_given_op[torch.arange(ENVS), op]
    return masks.heads[head]
