"""The loss against its formulas written out, step by step and head by head."""

import math

import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_core import ActionSpec, Head, SlotConfig, StateSpec
from esper_core.contracts.protocols import BuildContext, Features, Values
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
    ),
    root="op",
    slot="slot",
)
E, T = 3, 6


def loss(**options):
    context = BuildContext(SlotConfig.for_grid(1, 2), SPEC, StateSpec(()), None, 8, 0.99, E, 0, "cpu", torch.float64)
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
            old_log_prob=distribution.log_prob(actions),
            old_logits=old,
            advantages=torch.where(self.valid, randn(E, T), 0.0),
            op_advantage=torch.where(self.valid, randn(E, T), 0.0),
            returns=randn(E, T),
        )

    @property
    def evaluation(self):
        distribution = FactoredDistribution(SPEC, self.logits, self.masks)
        given_ = distribution.given(self.batch.actions["op"])
        return Evaluation(
            distribution=distribution,
            values=Values(torch.zeros_like(self.value), self.value, None),
            log_prob=distribution.log_prob(self.batch.actions),
            entropy=distribution.entropy(),
            relevance={n: c.relevant for n, c in given_.items()},
            n_legal={n: c.legal.sum(-1) for n, c in given_.items()},
            state=None,
        )


def ratios_by_hand(case, e, t):
    """Return head → ratio of those that mattered to the operation and had a choice."""
    ratios, op = {}, int(case.batch.actions["op"][e, t])
    for head in SPEC.heads:
        legal = case.masks.slot_given_op[e, t, op] if head.name == "slot" else case.masks.heads[head.name][e, t]
        if (head.ops is None or SPEC.ops[op] in head.ops) and int(legal.sum()) > 1:
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
    case = Case(move=0.8)
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
    case.batch = evolve(case.batch, masks=case.masks)
    assert loss()(case.batch, case.evaluation).metrics["clip_fraction/slot"].isnan()
    metrics = loss(ratio_mode="joint")(case.batch, case.evaluation).metrics
    assert [name for name in metrics if name.startswith("clip_fraction")] == ["clip_fraction"]


def test_it_passes_every_check_of_its_kind(conforms):
    conforms("loss/factored-ppo")
