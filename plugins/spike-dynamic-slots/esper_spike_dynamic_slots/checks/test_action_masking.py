"""Action masking: what is masked has probability exactly 0, for every slot and every number of slots."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.protocols import Masks
from esper_core.policy.distribution import FactoredDistribution
from esper_testing.case import ENVS, Case

CATEGORY = "action masking"


@pytest.mark.usefixtures("slot_head")
def test_a_masked_slot_is_never_chosen(case: Case) -> None:
    """Mask any one slot: whatever the operation, the probability that it is acted on is exactly 0."""
    for slot in range(case.num_slots):
        legal = torch.arange(case.num_slots) != slot
        probability = _slot_probabilities(case, _masks(case, legal))[..., slot]
        assert (probability == 0).all(), f"masked slot {slot} of {case.num_slots} has {probability.max().item():.3g}"


def test_the_only_legal_slot_is_certain(case: Case, slot_head: str) -> None:
    """Mask all slots but one: given an operation on slots, it has probability 1."""
    uses_slot = torch.tensor(case.description.actions.relevance(slot_head))
    for slot in range(case.num_slots):
        legal = torch.arange(case.num_slots) == slot
        given = _distribution(case, _masks(case, legal)).log_probs(slot_head).exp()[..., uses_slot, :]
        expected = legal.to(given.dtype).expand_as(given)
        assert torch.equal(given, expected), f"slot {slot} of {case.num_slots} is alone legal and has {given.min():.3g}"


def test_every_operation_has_slots_of_its_own(case: Case, slot_head: str) -> None:
    """Random masks per operation: illegal pairs of operation and slot have probability exactly 0, legal ones more."""
    for seed in range(4):
        masks = case.masks(seed)
        assert masks.slot_given_op is not None
        given = _distribution(case, masks).log_probs(slot_head).exp()
        rows = masks.slot_given_op.any(-1, keepdim=True).expand_as(given)
        illegal = given[rows & ~masks.slot_given_op]
        assert (illegal == 0).all(), f"an illegal pair has probability {illegal.max().item():.3g}"
        legal = given[masks.slot_given_op]
        assert (legal > 0).all(), "a legal pair has probability 0"


def test_masks_of_another_width_are_refused(case: Case, slot_head: str) -> None:
    """Masks made for one slot more are refused by slot_head, not cut or stretched."""
    masks = _masks(case, torch.ones(case.num_slots, dtype=torch.bool))
    heads = {key: value[:, 0] for key, value in masks.heads.items()}
    heads[slot_head] = torch.ones(ENVS, case.num_slots + 1, dtype=torch.bool)
    features = case.features()
    seen = features._replace(obs=features.obs[:, 0], indices={key: v[:, 0] for key, v in features.indices.items()})
    sizes = (ENVS, case.num_slots + 1), (ENVS, case.num_slots)
    found, wanted = (f"bool {list(shape)}" for shape in sizes)
    with pytest.raises(PluginError, match=re.escape(f"mask of head '{slot_head}' is {found}, not {wanted}")):
        case.policy.get_action(seen, Masks(heads, masks.slot_given_op), case.policy.initial_state(ENVS))


def _masks(case: Case, legal_slots: Tensor) -> Masks:
    """Return masks `[E, T, ...]` in which everything is legal but slots, bool `[N]`."""
    actions = case.description.actions
    assert actions.root is not None and actions.slot is not None
    masks = case.masks(legal=1.0)
    assert masks.slot_given_op is not None
    given = masks.slot_given_op & legal_slots
    uses_slot = torch.tensor(actions.relevance(actions.slot))
    ops = masks.heads[actions.root] & (given.any(-1) | ~uses_slot)
    return Masks({**masks.heads, actions.root: ops, actions.slot: given.any(-2)}, given)


def _slot_probabilities(case: Case, masks: Masks) -> Tensor:
    """Return the probability that each slot is acted on, `[E, T, N]`."""
    actions = case.description.actions
    assert actions.slot is not None
    distribution = _distribution(case, masks)
    ops = distribution.op_probs()
    assert ops is not None
    weights = ops * torch.tensor(actions.relevance(actions.slot))
    return (weights.unsqueeze(-1) * distribution.log_probs(actions.slot).exp()).sum(-2)


@torch.no_grad()
def _distribution(case: Case, masks: Masks) -> FactoredDistribution:
    return FactoredDistribution(case.description.actions, case.policy(case.features(), masks).raw_logits, masks)
