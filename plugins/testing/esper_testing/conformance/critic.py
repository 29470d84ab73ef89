"""What every critic must do."""

from __future__ import annotations

import copy
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import torch
from attrs import evolve
from torch import Tensor

from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.precision import autocast
from esper_core.contracts.protocols import Values
from esper_testing.case import ENVS, STEPS, Case, make_case
from esper_testing.conformance.chance import assert_repeatable, assert_seeded, noise_like, stir
from esper_testing.conformance.everywhere import everywhere, in_every_layout
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite
from esper_testing.conformance.tensors import (
    TOLERANCE,
    assert_dtype,
    assert_finite,
    assert_on,
    assert_reached,
    assert_same,
    assert_shape,
    copied,
    cut,
    mapped,
    unchanged,
)
from esper_testing.fake_device import FakeDevice

Q_BY_OP = "critic:q-by-op"
"""Capability of a critic that says how good each operation would be."""

HALF_TOLERANCE = 0.1
"""How far values may be apart from those of float32 where critics compute in bf16."""

SUITE = Suite(
    "critic",
    (
        "shapes",
        "without-operations",
        "deterministic",
        "seeded",
        "inputs-untouched",
        "rows-independent",
        "consistent",
        "claims",
        "q-by-op",
        "gradient",
        "float64",
        "rescale",
        "state-dict",
        "bf16",
        "device",
    ),
)


class Asked(NamedTuple):
    """What a critic is asked; the last two are None without a root head.

    Attributes:
        latent: `[E, T, H]`.
        op_probs: `[E, T, O]`, 0 where illegal.
        op: int64 `[E, T]`, never an illegal one.
    """

    latent: Tensor
    op_probs: Tensor | None
    op: Tensor | None


@SUITE.check("shapes")
@everywhere
def shapes(subject: Subject, case: Case) -> None:
    """It returns finite values `[E, T]`: `value`, `q_taken`, and `by_op [E, T, O]` or None."""
    for envs, steps in ((ENVS, STEPS), (1, STEPS), (ENVS, 1)):
        values = _ask(_critic(case), cut(_asked(case), slice(0, envs), slice(0, steps)))
        assert_shape(values.value, (envs, steps), "value")
        assert_shape(values.q_taken, (envs, steps), "q_taken")
        if values.by_op is not None:
            assert_shape(values.by_op, (envs, steps, len(case.description.actions.ops)), "by_op")
        assert_finite(values, "values")


@SUITE.check("without-operations")
def without_operations(subject: Subject) -> None:
    """Actions without an operation head are valued too, or refused with IncompatiblePlan and a hint what to use."""
    try:
        case = subject.case(options=("environment.layout=flat",))
    except IncompatiblePlan as refusal:
        if not refusal.hint:
            raise AssertionError("it refuses actions without operations, with no hint what to use instead") from refusal
        return
    assert _ask(_critic(case), _asked(case)).by_op is None, (
        "without operations there are none to value, but by_op is not None"
    )


@SUITE.check("deterministic", after=("shapes",))
@everywhere
def deterministic(subject: Subject, case: Case) -> None:
    """The same input gives the same values: no chance, no memory, no other ways while evaluating."""
    critic, asked, other = _critic(case), _asked(case), _asked(case, seed=1)
    assert_repeatable(lambda: _ask(critic, asked), lambda: _ask(critic, other), "valuing", critic)


@SUITE.check("seeded")
@in_every_layout
def seeded(subject: Subject, case: Case) -> None:
    """Its first weights follow from the plan's seed and from nothing else."""
    assert_seeded(_critic, case, subject.full_index)


@SUITE.check("inputs-untouched", after=("shapes",))
@everywhere
def inputs_untouched(subject: Subject, case: Case) -> None:
    """It changes nothing that it is given."""
    asked = _asked(case)
    with unchanged(asked, "what it is given, before and after"):
        _ask(_critic(case), asked)


@SUITE.check("rows-independent", after=("deterministic",))
@everywhere
def rows_independent(subject: Subject, case: Case) -> None:
    """Every step is valued by itself, the same alone and in a batch."""
    critic, asked = _critic(case), _asked(case)
    values = _ask(critic, asked)
    for env, t in ((0, 0), (ENVS - 1, STEPS - 1)):
        where = (slice(env, env + 1), slice(t, t + 1))
        alone = _ask(critic, cut(asked, *where))
        assert_same(alone, cut(values, *where), f"step {t} of environment {env} alone and in a batch", TOLERANCE)


@SUITE.check("consistent", after=("deterministic",))
@everywhere
def consistent(subject: Subject, case: Case) -> None:
    """`q_taken` is what `by_op` says of the operation taken, and the value a mean of it; without it none matters."""
    critic, asked = _trained(case), _asked(case)
    values = _ask(critic, asked)
    if values.by_op is not None:
        assert asked.op is not None and asked.op_probs is not None
        taken = values.by_op.gather(-1, asked.op.unsqueeze(-1)).squeeze(-1)
        assert_same(values.q_taken, taken, "q_taken, and by_op at the operation taken", TOLERANCE)
        legal = asked.op_probs > 0
        least = values.by_op.masked_fill(~legal, torch.inf).amin(-1) - TOLERANCE
        most = values.by_op.masked_fill(~legal, -torch.inf).amax(-1) + TOLERANCE
        inside = (values.value >= least) & (values.value <= most)
        assert inside.all(), "the value is not a mean of by_op over the legal operations"
    elif asked.op is not None:
        other = _asked(case, seed=1)
        found = _ask(critic, Asked(asked.latent, other.op_probs, other.op))
        assert_same(found, values, "by_op is None, but after other operations it says other things")


@SUITE.check("claims", after=("shapes",))
@everywhere
def claims(subject: Subject, case: Case) -> None:
    """Whoever returns `by_op` says so by claiming `critic:q-by-op`, so that others can ask for it."""
    given = _ask(_critic(case), _asked(case)).by_op is not None
    assert not given or subject.claims(Q_BY_OP), f"it returns by_op, but its spec does not provide '{Q_BY_OP}'"


@SUITE.check("q-by-op", after=("consistent",), claim=Q_BY_OP)
@everywhere
def q_by_op(subject: Subject, case: Case) -> None:
    """It claims `critic:q-by-op`: what it says of one operation differs from what it says of any other."""
    ops = case.description.actions.ops
    if not ops:
        return
    by_op = _ask(_trained(case), _asked(case)).by_op
    assert by_op is not None, f"it provides '{Q_BY_OP}', but by_op is None"
    columns = by_op.flatten(0, 1).unbind(-1)
    blind = [
        f"{ops[a]} and {ops[b]}" for a, b in combinations(range(len(ops)), 2) if torch.equal(columns[a], columns[b])
    ]
    assert not blind, f"it says the same of {', '.join(blind)} in every state"


@SUITE.check("gradient", after=("shapes",))
@everywhere
def gradient(subject: Subject, case: Case) -> None:
    """Regressing `q_taken` sends a gradient, finite and not 0, to every trainable parameter and into the latent."""
    critic, asked = _critic(case), _asked(case)
    critic.zero_grad(set_to_none=True)
    latent = asked.latent.requires_grad_()
    _regress(critic(*asked))
    assert_reached(critic)
    assert latent.grad is not None and latent.grad.any(), (
        "no gradient reaches the latent, so the network learns nothing"
    )


@SUITE.check("float64", after=("deterministic",))
@in_every_layout
def float64(subject: Subject, case: Case) -> None:
    """Built in float64 it computes in float64, and the same but for rounding."""
    double = _critic(_again(subject, case, dtype=torch.float64))
    values = _ask(double, _asked(case, dtype=torch.float64))
    assert_dtype(torch.float64, values)
    double.load_state_dict(_critic(case).state_dict())
    values = _ask(double, _asked(case, dtype=torch.float64))
    assert_same(_ask(_critic(case), _asked(case)), values, "values in float32 and in float64", TOLERANCE)


@SUITE.check("rescale", after=("deterministic", "float64"))
@everywhere
def rescale(subject: Subject, case: Case) -> None:
    """`rescale_` leaves all predictions in units of return where they are, however often the statistics change."""
    critic, asked = _trained(case).double(), _asked(case, dtype=torch.float64)
    statistics = ((0.0, 1.0), (2.0, 3.0), (-1.0, 0.5), (100.0, 20.0))

    def predictions(mean: float, std: float) -> Any:
        return mapped(_ask(critic, asked), lambda value: value * std + mean)

    expected = predictions(*statistics[0])
    for (old_mean, old_std), (mean, std) in pairwise(statistics):
        critic.rescale_(old_mean, old_std, mean, std)
        what = (
            f"predictions after the mean went from {old_mean:g} to {mean:g} and the spread from {old_std:g} to {std:g}"
        )
        assert_same(predictions(mean, std), expected, what, 1e-8)


@SUITE.check("state-dict", after=("deterministic",))
@in_every_layout
def state_dict(subject: Subject, case: Case) -> None:
    """All that it has learned is in its `state_dict`: another one with these weights says the very same."""
    critic, asked = _trained(case), _asked(case)
    critic.rescale_(0.0, 1.0, 2.0, 3.0)
    other = _critic(make_case(evolve(case.plan, seed=case.plan.seed + 1), subject.full_index, case.num_slots))
    other.load_state_dict(copied(dict(critic.state_dict())))
    assert_same(_ask(other, asked), _ask(critic, asked), "values with the weights loaded into another one")


@SUITE.check("bf16", after=("deterministic", "gradient"))
@in_every_layout
def bf16(subject: Subject, case: Case) -> None:
    """With `--precision bf16` it runs, keeps near to float32, and every parameter still gets a gradient."""
    critic, asked = _critic(case), _asked(case)
    expected = _ask(critic, asked)
    critic.zero_grad(set_to_none=True)
    # Networks hand on their latent as they computed it.
    for dtype in (torch.bfloat16, torch.float32):
        with autocast("bf16", "cpu"):
            values = critic(asked.latent.to(dtype), asked.op_probs, asked.op)
        assert_same(values, expected, f"values in bf16 of a {dtype} latent, and in float32", HALF_TOLERANCE)
    _regress(values)
    assert_reached(critic)


@SUITE.check("device", after=("shapes",))
@in_every_layout
def device(subject: Subject, case: Case) -> None:
    """It values and learns on another device than the CPU without making a tensor on a wrong one."""
    with FakeDevice() as there:
        critic = _critic(_again(subject, case, device=there.name))
        values = critic(*mapped(_asked(case), lambda value: value.to(there.name)))
        _regress(values)
        critic.rescale_(0.0, 1.0, 2.0, 3.0)
    assert_on(there.name, values)


def _again(subject: Subject, case: Case, **how: Any) -> Case:
    """Return the case, built anew."""
    return make_case(case.plan, subject.full_index, case.num_slots, **how)


def _critic(case: Case) -> Any:
    return case.policy.critic


def _trained(case: Case) -> Any:
    """Return a copy of the critic with other weights than the first, which may all be 0."""
    critic = copy.deepcopy(_critic(case))
    stir(critic)
    return critic


def _asked(case: Case, seed: int = 0, dtype: torch.dtype = torch.float32) -> Asked:
    """Return random latents and operations `[E, T, ...]`, the same in every dtype but for rounding."""
    generator, double = torch.Generator().manual_seed(seed), torch.float64
    latent = torch.randn(ENVS, STEPS, case.network.latent_dim, generator=generator, dtype=double).to(dtype)
    ops = len(case.description.actions.ops)
    if not ops:
        return Asked(latent, None, None)
    legal = torch.rand(ENVS, STEPS, ops, generator=generator) < 0.7
    legal[..., 0] = True
    logits = torch.randn(ENVS, STEPS, ops, generator=generator, dtype=double).masked_fill(~legal, -torch.inf)
    probs = logits.softmax(-1)
    op = torch.multinomial(probs.flatten(0, 1), 1, generator=generator).reshape(ENVS, STEPS)
    return Asked(latent, probs.to(dtype), op)


@torch.no_grad()
def _ask(critic: Any, asked: Asked) -> Values:
    values: Values = critic(*asked)
    return values


def _regress(values: Values) -> None:
    (noise_like(values.q_taken) * values.q_taken).sum().backward()
