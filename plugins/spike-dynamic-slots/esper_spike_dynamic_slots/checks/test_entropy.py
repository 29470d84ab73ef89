"""Entropy: its maximum grows with ln N, and what the loss is paid for stays between 0 and 1 whatever N."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.masking import masked_log_softmax, normalised_entropy
from esper_testing.case import Case

CATEGORY = "entropy"
Record = Callable[[str, object], None]


def test_the_maximum_is_ln_n(case: Case, slot_logits: Tensor, record_property: Record) -> None:
    """An indifferent slot head of this policy's width has entropy ln N."""
    uniform = torch.log_softmax(torch.zeros_like(slot_logits), -1)
    maximum = abs((uniform.exp() * uniform).sum(-1).mean().item())
    expected = math.log(case.num_slots)
    record_property("largest slot entropy", maximum)
    assert maximum == pytest.approx(expected, abs=1e-5), f"largest entropy {maximum:.4f}, ln N = {expected:.4f}"


def test_the_normalised_maximum_is_one(case: Case, slot_logits: Tensor, record_property: Record) -> None:
    """Divided by ln N it is 1 for any N; with a single slot there is no choice, and it is 0."""
    mask = torch.ones_like(slot_logits, dtype=torch.bool)
    entropy = normalised_entropy(masked_log_softmax(torch.zeros_like(slot_logits), mask), mask)
    expected = float(case.num_slots > 1)
    record_property("largest normalised slot entropy", entropy.max().item())
    off = (entropy - expected).abs().max().item()
    assert off < 1e-5, f"the normalised entropy of an indifferent head is {entropy.mean().item():.4f}, not {expected}"


def test_what_the_loss_is_paid_for_is_between_zero_and_one(case: Case) -> None:
    """Under random masks the entropy of every head is 0..1."""
    distribution = _distribution(case)
    for name, value in distribution.entropy().items():
        low, high = value.min().item(), value.max().item()
        assert low >= -1e-5 and high <= 1 + 1e-5, f"the entropy of head '{name}' is {low:.4g}..{high:.4g}"


def test_an_untrained_policy_explores(case: Case, record_property: Record) -> None:
    """Every head that has a choice begins with some entropy; the slot head's is noted."""
    distribution = _distribution(case)
    choice = distribution.choice_probability()
    shares = {}
    for name, value in distribution.entropy().items():
        weight = choice[name].sum().item()
        if weight:
            shares[name] = value.sum().item() / weight
    actions = case.description.actions
    record_property("joint actions", math.prod(actions.sizes.values()))
    if actions.slot in shares:
        record_property("slot entropy at the start", shares[actions.slot])
    decided = [name for name, share in shares.items() if share < 1e-3]
    assert not decided, f"heads that are decided before any training: {', '.join(decided)}"


@pytest.fixture
def slot_logits(case: Case, slot_head: str) -> Tensor:
    """What the policy gives the slots where everything is legal."""
    with torch.no_grad():
        return case.policy(case.features(), case.masks(legal=1.0)).raw_logits[slot_head]


@torch.no_grad()
def _distribution(case: Case) -> FactoredDistribution:
    masks = case.masks(seed=2)
    return FactoredDistribution(case.description.actions, case.policy(case.features(), masks).raw_logits, masks)
