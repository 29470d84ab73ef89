"""Action sampling: what is drawn is in range, legal, and every slot can be drawn."""

from __future__ import annotations

import torch

from esper_core.contracts.protocols import Masks
from esper_core.policy.policy import ActionOutput
from esper_spike_dynamic_slots.fixtures import Satisfies
from esper_testing.case import ENVS, Case
from esper_testing.conformance import network
from esper_testing.conformance.tensors import cut

CATEGORY = "action sampling"


def test_what_is_drawn_is_legal(satisfies: Satisfies) -> None:
    """In 2,048 draws under random masks no head that matters takes an illegal entry."""
    satisfies(network.masked_never_sampled)


def test_every_slot_can_be_drawn(case: Case, slot_head: str) -> None:
    """Where an operation on slots is due and one slot is legal, that slot is drawn, whichever it is."""
    actions = case.description.actions
    assert actions.root is not None
    uses_slot = torch.tensor(actions.relevance(slot_head))
    masks = cut(case.masks(legal=1.0), slice(None), 0)
    for slot in range(case.num_slots):
        given = torch.zeros(ENVS, len(actions.ops), case.num_slots, dtype=torch.bool)
        given[:, uses_slot, slot] = True
        heads = {**masks.heads, actions.root: uses_slot.expand(ENVS, -1), slot_head: given.any(1)}
        drawn = _draw(case, Masks(heads, given), seed=slot).actions[slot_head]
        assert (drawn == slot).all(), f"only slot {slot} of {case.num_slots} is legal, but {drawn.tolist()} were drawn"


def test_the_same_seed_draws_the_same(case: Case) -> None:
    """Draws depend on the generator alone, and the deterministic choice on nothing."""
    masks = cut(case.masks(), slice(None), 0)
    for deterministic in (False, True):
        first, second = (_draw(case, masks, 0, deterministic).actions for _ in range(2))
        other = [name for name in first if not torch.equal(first[name], second[name])]
        assert not other, f"heads {', '.join(other)} differ under the same seed, deterministic={deterministic}"


def test_log_prob_and_values_come_with_it(case: Case) -> None:
    """Every head has one finite log-probability per environment, and the critic one value."""
    drawn = _draw(case, cut(case.masks(), slice(None), 0), 0)
    for name, value in (*drawn.log_prob.items(), ("values.value", drawn.values.value)):
        assert value.shape == (ENVS,), f"'{name}' is {tuple(value.shape)} for {ENVS} environments"
        assert torch.isfinite(value).all(), f"'{name}' is not finite"
    assert drawn.log_prob.keys() == set(case.description.actions.names)
    positive = [name for name, value in drawn.log_prob.items() if (value > 0).any()]
    assert not positive, f"log-probabilities above 0: {', '.join(positive)}"


@torch.no_grad()
def _draw(case: Case, masks: Masks, seed: int, deterministic: bool = False) -> ActionOutput:
    seen = cut(case.features(), slice(None), 0)
    generator = torch.Generator().manual_seed(seed)
    state = case.policy.initial_state(ENVS)
    return case.policy.get_action(seen, masks, state, generator=generator, deterministic=deterministic)
