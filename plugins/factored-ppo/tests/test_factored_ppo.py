"""The loss against its formulas written out, step by step and head by head."""

import math

import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_core import ActionSpec, ContinuousHead, Head, SlotConfig, StateSpec
from esper_core.contracts.protocols import BuildContext, Features, Masks, Values
from esper_core.learning.rollout import Sequences
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.policy import Evaluation
from esper_factored_ppo.config import FactoredPpoConfig
from esper_factored_ppo.loss import FactoredPpo
from esper_testing.states import random_masks

SPEC = ActionSpec(
    heads=(
        Head("op", ("WAIT", "GROW", "CUT")),
        Head("slot", ("a", "b"), ops=("GROW", "CUT")),
        Head("what", ("x", "y", "z"), neutral=2, ops=("GROW",), entropy_weight=1.3),
        ContinuousHead("aim", ("x", "y"), ops=("CUT",), entropy_weight=0.7),
    ),
    root="op",
    slot="slot",
)
E, T = 3, 6


def loss(spec=SPEC, **options):
    context = BuildContext(SlotConfig.for_grid(1, 2), spec, StateSpec(()), None, 8, 0.99, E, 0, "cpu", torch.float64)
    return FactoredPpo(FactoredPpoConfig(**options), context)


class Case:
    """Random stored data and a policy that has moved away from the one that collected it."""

    def __init__(self, seed=0, move=0.5):
        g = torch.Generator().manual_seed(seed)

        def randn(*shape):
            return torch.randn(*shape, generator=g, dtype=torch.float64)

        self.masks = random_masks(SPEC, (E, T), g, legal=0.7)
        old = {h.name: randn(E, T, h.size) for h in SPEC.heads}
        self.logits = {n: v + move * randn(*v.shape) for n, v in old.items()}
        distribution = FactoredDistribution(SPEC, old, self.masks)
        actions = distribution.sample(g)
        self.valid = torch.rand(E, T, generator=g) < 0.8
        self.valid[0, 0] = True
        self.value = randn(E, T)
        self.batch = Sequences(
            features=Features(randn(E, T, 2), {}),
            masks=self.masks,
            actions=actions,
            episode_start=torch.zeros(E, T, dtype=torch.bool),
            valid=self.valid,
            choice=Evaluation(distribution, None, {}, actions["op"], None).choice,
            old_log_prob=distribution.log_prob(actions),
            old_logits=old,
            advantages=torch.where(self.valid, randn(E, T), 0.0),
            op_advantage=torch.where(self.valid, randn(E, T), 0.0),
            returns=randn(E, T),
        )

    @property
    def evaluation(self):
        distribution = FactoredDistribution(SPEC, self.logits, self.masks)
        return Evaluation(
            distribution=distribution,
            values=Values(torch.zeros_like(self.value), self.value, None),
            log_prob=distribution.log_prob(self.batch.actions),
            op=self.batch.actions["op"],
            state=None,
        )


def ratios_by_hand(case, e, t):
    """Return head → ratio of those that mattered to the operation and had a choice."""
    ratios, op = {}, int(case.batch.actions["op"][e, t])
    for head in SPEC.heads:
        if head.name == "aim":
            free = True
        else:
            legal = case.masks.slot_given_op[e, t, op] if head.name == "slot" else case.masks.heads[head.name][e, t]
            free = int(legal.sum()) > 1
        if (head.ops is None or SPEC.ops[op] in head.ops) and free:
            now, then = case.evaluation.log_prob[head.name], case.batch.old_log_prob[head.name]
            ratios[head.name] = float((now - then)[e, t].exp())
    return ratios


def by_hand(case, ratio_mode, clip=0.2, kappa=0.0):
    """The surrogate written as loops over steps and heads."""
    batch, total = case.batch, 0.0
    for e, t in case.valid.nonzero().tolist():
        ratios = ratios_by_hand(case, e, t)
        if ratio_mode == "joint" and ratios:
            ratios = {"joint": math.prod(ratios.values())}
        advantage = float(batch.advantages[e, t])
        for name, ratio in ratios.items():
            a = advantage if name in ("op", "joint") else advantage - kappa * float(batch.op_advantage[e, t])
            total += min(ratio * a, min(max(ratio, 1 - clip), 1 + clip) * a)
    return -total / int(batch.valid.sum())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from(["per_head", "joint"]), st.sampled_from([0.0, 0.7]))
def test_the_surrogate_is_its_formula(seed, ratio_mode, kappa):
    case = Case(seed)
    kappa = 0.0 if ratio_mode == "joint" else kappa
    result = loss(ratio_mode=ratio_mode, child_baseline=kappa)(case.batch, case.evaluation)
    assert float(result.metrics["policy_loss"]) == pytest.approx(by_hand(case, ratio_mode, kappa=kappa), abs=1e-9)


def test_the_sum_of_its_parts():
    case = Case()
    result = loss(entropy=0.05, value_coefficient=0.7)(case.batch, case.evaluation)
    m, n = result.metrics, int(case.valid.sum())
    value = 0.5 * float((case.value - case.batch.returns).square()[case.valid].sum()) / n
    entropy = sum(h.entropy_weight * float(case.evaluation.entropy[h.name][case.valid].sum()) / n for h in SPEC.heads)
    old = FactoredDistribution(SPEC, case.batch.old_logits, case.masks)
    assert float(result.kl) == pytest.approx(float(case.evaluation.distribution.kl(old)[case.valid].mean()))
    assert float(m["value_loss"]) == pytest.approx(value) and float(m["entropy"]) == pytest.approx(entropy)
    assert float(result.loss) == pytest.approx(float(m["policy_loss"]) + 0.7 * value - 0.05 * entropy)


def test_the_entropy_bonus_halves_over_its_half_life():
    case = Case()
    bare = float(loss(entropy=0.0)(case.batch, case.evaluation).loss)

    def bonus(update, **options):
        made = loss(entropy=0.08, **options)
        made.begin(update)
        return bare - float(made(case.batch, case.evaluation).loss)

    first = bonus(1)
    assert first > 0 and bonus(500) == pytest.approx(first)
    halved = [bonus(update, entropy_half_life=10.0) for update in (1, 11, 21, 6)]
    assert halved == pytest.approx([first, first / 2, first / 4, first / 2**0.5], rel=1e-4)


def test_zero_switches_the_kl_stop_off_and_a_baseline_that_would_be_ignored_is_refused():
    assert loss(target_kl=0.0).target_kl is None and loss().target_kl == 0.03
    with pytest.raises(ValueError, match="child_baseline needs ratio_mode=per_head"):
        FactoredPpoConfig(ratio_mode="joint", child_baseline=0.5)


def test_the_clip_fraction_of_a_head_counts_the_steps_at_which_it_had_a_choice():
    case = Case(5, move=0.8)
    metrics = loss(clip=0.3)(case.batch, case.evaluation).metrics
    found = [ratios_by_hand(case, e, t) for e, t in case.valid.nonzero().tolist()]
    beyond = {name: [abs(ratios[name] - 1) > 0.3 for ratios in found if name in ratios] for name in SPEC.names}
    for name, flags in beyond.items():
        assert float(metrics[f"clip_fraction/{name}"]) == pytest.approx(sum(flags) / len(flags))
    every = [flag for flags in beyond.values() for flag in flags]
    assert float(metrics["clip_fraction"]) == pytest.approx(sum(every) / len(every))
    assert 0 < sum(every) < len(every)


def test_a_head_without_a_choice_and_the_joint_ratio_have_no_clip_fraction_of_a_head():
    case = Case()
    case.masks.slot_given_op[..., 1] = False
    case.batch = evolve(case.batch, masks=case.masks, choice=case.evaluation.choice)
    assert math.isnan(loss()(case.batch, case.evaluation).metrics["clip_fraction/slot"])
    metrics = loss(ratio_mode="joint")(case.batch, case.evaluation).metrics
    assert [name for name in metrics if name.startswith("clip_fraction")] == ["clip_fraction"]


NODES = torch.linspace(-9, 9, 721, dtype=torch.float64)
WEIGHTS = torch.softmax(-0.5 * NODES.square(), 0)
"""The trapezoidal rule over a standard normal, exact to rounding."""


def worth(u, squash):
    """A reward of one number, as the environment gets it."""
    a = torch.tanh(u) if squash else u
    return (3 * a).sin() - 0.4 * a + a.square()


@pytest.mark.parametrize("squash", [True, False])
@pytest.mark.parametrize("options", [{}, {"ratio_mode": "joint"}, {"child_baseline": 0.6}])
def test_the_gradient_is_that_of_the_expected_reward_by_enumeration_and_quadrature(squash, options):
    """One step of every operation and node, weighed by its probability: WAIT pays 0.8, AIM by the number."""
    spec = ActionSpec((Head("op", ("WAIT", "AIM")), ContinuousHead("aim", ("x",), squash=squash, ops=("AIM",))), "op")
    outputs = {"op": torch.tensor([0.2, -0.4]), "aim": torch.tensor([0.3, -0.5])}
    outputs = {name: value.double().requires_grad_() for name, value in outputs.items()}
    mean, log_std = outputs["aim"]
    probs = outputs["op"].softmax(0)
    of_op = torch.stack(
        [torch.tensor(0.8, dtype=torch.float64), (WEIGHTS * worth(mean + log_std.exp() * NODES, squash)).sum()]
    )
    true = torch.autograd.grad((probs * of_op).sum(), list(outputs.values()))

    steps = len(NODES)
    op = torch.arange(2).repeat_interleave(steps)[None]
    u = torch.cat([torch.zeros(steps).double(), (mean + log_std.exp() * NODES).detach()])[None, :, None]
    weight = (probs.detach()[op] * WEIGHTS.repeat(2) * op.numel()).double()
    paid = torch.where(op == 1, worth(u.squeeze(-1), squash), 0.8)
    advantage_of_op = (of_op - (probs * of_op).sum()).detach()[op]
    logits = {name: value.expand(*op.shape, -1) for name, value in outputs.items()}
    masks, valid, actions = (
        Masks({"op": torch.ones(*op.shape, 2).bool()}),
        torch.ones_like(op).bool(),
        {"op": op, "aim": u},
    )
    distribution = FactoredDistribution(spec, logits, masks)
    log_prob = distribution.log_prob(actions)
    values, old = Values(weight, weight, None), {name: value.detach() for name, value in log_prob.items()}
    found = Evaluation(distribution, values, log_prob, op, None)
    paid, advantage_of_op = weight * paid, weight * advantage_of_op
    batch = Sequences(None, masks, actions, valid, valid, found.choice, old, logits, paid, advantage_of_op, weight)
    loss(spec, entropy=0.0, value_coefficient=0.0, **options)(batch, found).loss.neg().backward()
    for name, expected in zip(outputs, true, strict=True):
        torch.testing.assert_close(outputs[name].grad, expected, rtol=1e-9, atol=1e-11)


def test_it_passes_every_check_of_its_kind(conforms):
    conforms("loss/factored-ppo")
