"""The factored distribution against enumeration of every joint action."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_core import ActionSpec, Head
from esper_core.contracts.protocols import Masks
from esper_core.policy.distribution import FactoredDistribution, _choose, relevance_table
from esper_testing.states import random_masks
from tests.policy.conftest import SPEC, as_actions, enumerate_joint, random_logits

SEEDS = st.integers(0, 2**31 - 1)


EACH = st.booleans()
"""Whether logits of slots are given each operation."""


def draw(seed, batch=1, each=False):
    generator = torch.Generator().manual_seed(seed)
    masks = random_masks(SPEC, (batch,), generator)
    return random_logits(generator, batch, each), random_logits(generator, batch, each), masks


def repeat(table, times):
    return {name: value.expand(times, *value.shape[1:]) for name, value in table.items()}


@settings(max_examples=60, deadline=None)
@given(SEEDS, EACH)
def test_log_probs_are_those_of_the_enumeration(seed, each):
    logits, _, masks = draw(seed, each=each)
    joint = enumerate_joint(logits, masks)
    assert sum(joint.values()) == pytest.approx(1.0)
    wide = Masks(repeat(masks.heads, len(joint)), masks.slot_given_op.expand(len(joint), -1, -1))
    per_head = FactoredDistribution(SPEC, repeat(logits, len(joint)), wide).log_prob(as_actions(joint))
    total = torch.stack(list(per_head.values())).sum(0).exp()
    assert total.tolist() == pytest.approx(list(joint.values()), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(SEEDS, EACH)
def test_kl_is_that_of_the_enumeration(seed, each):
    new, old, masks = draw(seed, each=each)
    p, q = enumerate_joint(old, masks), enumerate_joint(new, masks)
    expected = sum(p[a] * math.log(p[a] / q[a]) for a in p)
    measured = FactoredDistribution(SPEC, new, masks).kl(FactoredDistribution(SPEC, old, masks))
    assert float(measured[0]) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(SEEDS, EACH)
def test_entropy_is_normalised_and_weighted_by_relevance(seed, each):
    logits, _, masks = draw(seed, each=each)
    joint = enumerate_joint(logits, masks)
    p_op = [sum(p for key, p in joint.items() if key[0] == op) for op in range(3)]

    def normalised(values, legal):
        legal = legal.tolist()
        if sum(legal) <= 1:
            return 0.0
        weights = [v.exp().item() for v, ok in zip(values, legal, strict=True) if ok]
        probabilities = [w / sum(weights) for w in weights]
        return -sum(p * math.log(p) for p in probabilities) / math.log(len(weights))

    entropy = FactoredDistribution(SPEC, logits, masks).entropy()
    assert float(entropy["op"]) == pytest.approx(normalised(logits["op"][0], masks.heads["op"][0]))
    own = [logits["slot"][0, op] if each else logits["slot"][0] for op in range(3)]
    slot = sum(p_op[op] * normalised(own[op], masks.slot_given_op[0, op]) for op in (1, 2))
    assert float(entropy["slot"]) == pytest.approx(slot)
    assert float(entropy["what"]) == pytest.approx(p_op[1] * normalised(logits["what"][0], masks.heads["what"][0]))
    assert float(entropy["speed"]) == pytest.approx(p_op[2] * normalised(logits["speed"][0], masks.heads["speed"][0]))


def test_the_entropy_of_children_does_not_pay_operations():
    raw = {name: value.requires_grad_() for name, value in draw(0)[0].items()}
    masks = random_masks(SPEC, (1,), torch.Generator().manual_seed(0), legal=1.0)
    entropy = FactoredDistribution(SPEC, raw, masks).entropy()
    children = sum(entropy[head.name].sum() for head in SPEC.children)
    gradient = torch.autograd.grad(children, raw["op"], allow_unused=True)[0]
    assert gradient is None or bool((gradient == 0).all())


@settings(max_examples=30, deadline=None)
@given(SEEDS, EACH)
def test_samples_are_legal_and_irrelevant_heads_are_neutral(seed, each):
    logits, _, masks = draw(seed, 64, each)
    for deterministic in (False, True):
        distribution = FactoredDistribution(SPEC, logits, masks)
        actions = distribution.sample(torch.Generator().manual_seed(seed), deterministic)
        rows = torch.arange(64)
        assert bool(masks.heads["op"][rows, actions["op"]].all())
        for head in SPEC.children:
            relevant = torch.tensor(SPEC.relevance(head.name))[actions["op"]]
            assert bool((actions[head.name][~relevant] == head.neutral).all())
            legal = masks.heads[head.name] if head.name != "slot" else masks.slot_given_op[rows, actions["op"]]
            assert bool(legal[rows, actions[head.name]][relevant].all())


@pytest.mark.parametrize("each", [False, True])
def test_sampling_follows_the_enumeration(each):
    masks = random_masks(SPEC, (1,), torch.Generator().manual_seed(3), legal=0.8)
    raw, count = draw(3, each=each)[0], 40_000
    joint = enumerate_joint(raw, masks)
    wide = Masks(repeat(masks.heads, count), masks.slot_given_op.expand(count, -1, -1))
    actions = FactoredDistribution(SPEC, repeat(raw, count), wide).sample(torch.Generator().manual_seed(0))
    keys = torch.stack([actions[name] for name in SPEC.names], dim=1)
    for key, p in joint.items():
        share = float((keys == torch.tensor(key)).all(1).double().mean())
        assert share == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / count) + 1e-9), key


@settings(max_examples=60, deadline=None)
@given(SEEDS, EACH)
def test_deterministic_is_the_most_probable_of_the_enumeration_head_by_head(seed, each):
    logits, _, masks = draw(seed, each=each)
    joint = enumerate_joint(logits, masks)

    def best(position, given):
        shares = {}
        for key, p in joint.items():
            if all(key[i] == value for i, value in given.items()):
                shares[key[position]] = shares.get(key[position], 0.0) + p
        return max(shares, key=shares.get)

    op = best(0, {})
    expected = {name: best(i, {0: op} if i else {}) for i, name in enumerate(SPEC.names)}
    actions = FactoredDistribution(SPEC, logits, masks).sample(deterministic=True)
    assert {name: int(value) for name, value in actions.items()} == expected


def test_without_a_root_head_every_head_always_matters():
    spec = ActionSpec((Head("left", ("0", "1")), Head("right", ("0", "1", "2"))))
    raw = {"left": torch.zeros(5, 2), "right": torch.zeros(5, 3)}
    masks = Masks({"left": torch.ones(5, 2, dtype=torch.bool), "right": torch.ones(5, 3, dtype=torch.bool)})
    distribution = FactoredDistribution(spec, raw, masks)
    log_prob = distribution.log_prob(distribution.sample(torch.Generator().manual_seed(0)))
    assert float(log_prob["left"][0]) == pytest.approx(math.log(0.5))
    assert float(log_prob["right"][0]) == pytest.approx(math.log(1 / 3))
    assert distribution.op_probs() is None
    assert distribution.entropy()["right"].tolist() == pytest.approx([1.0] * 5)


def test_slots_given_each_operation_may_come_before_it_and_matter_to_all():
    spec = ActionSpec((Head("slot", ("a", "b")), Head("op", ("x", "y", "z"))), root="op", slot="slot")
    raw = {"slot": torch.tensor([[9.0, 0.0], [0.0, 9.0], [0.0, 0.0]]).expand(5, 3, 2), "op": torch.zeros(5, 3)}
    legal = torch.ones(5, 3, 2, dtype=torch.bool)
    distribution = FactoredDistribution(spec, raw, Masks({"op": legal[..., 0], "slot": legal[:, 0]}, legal))
    op = torch.tensor([0, 1, 0, 1, 2])
    assert distribution.given(op)["slot"].log_probs.argmax(-1).tolist() == [0, 1, 0, 1, 0]
    assert distribution.relevant("slot", op).tolist() == [True] * 5
    assert {name: value.shape for name, value in distribution.sample().items()} == {"slot": (5,), "op": (5,)}


def test_no_noise_lifts_an_illegal_entry_above_a_legal_one():
    """The largest noise is infinite, and a legal entry may be as improbable as numbers go."""
    lowest = torch.finfo(torch.float32).min
    log_probs, legal = torch.tensor([0.0, lowest, lowest]), torch.tensor([False, True, True])
    assert int(_choose(log_probs, legal, torch.tensor([torch.inf, 0.0, 1e38]))) == 2


def test_acting_in_inference_mode_first_leaves_learning_alone():
    """Inference tensors cannot be saved for a backward pass, so nothing made while acting may be kept."""
    masks = random_masks(SPEC, (1,), torch.Generator().manual_seed(0), legal=1.0)
    relevance_table.cache_clear()
    with torch.inference_mode():
        acted = FactoredDistribution(SPEC, draw(0)[0], masks)
        acted.log_prob(acted.sample(torch.Generator().manual_seed(0)))
    raw = {name: value.requires_grad_() for name, value in draw(0)[0].items()}
    distribution = FactoredDistribution(SPEC, raw, masks)
    total = sum(v.sum() for v in distribution.entropy().values())
    (total + sum(v.sum() for v in distribution.log_prob(as_actions([(1, 0, 2, 1)])).values())).backward()
    assert all(float(value.grad.abs().max()) > 0 for value in raw.values())
