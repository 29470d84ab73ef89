"""Heads of numbers against independent answers: mpmath, torch.distributions, and enumeration times quadrature."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from torch import Tensor, nn
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution, kl_divergence

from esper_core import ActionSpec, ContinuousHead, Head
from esper_core.contracts.protocols import Features, Masks, NetworkOutput, Values
from esper_core.policy import gaussian
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.executed import executed
from esper_core.policy.gaussian import Gaussian
from esper_core.policy.legality import find_illegal, neutral
from esper_core.policy.policy import Policy

MOVE = ContinuousHead("move", ("x",), low=-2, high=4, ops=("GO",))
MIXED = ActionSpec((Head("op", ("WAIT", "GO")), Head("gear", ("1", "2", "3"), ops=("GO",)), MOVE), root="op")
DOUBLE = torch.float64


def outputs(mean: float, log_std: float) -> Tensor:
    return torch.tensor([[mean, log_std]], dtype=DOUBLE)


def masks(rows: int, **legal: list[bool]) -> Masks:
    table = {head.name: legal.get(head.name, [True] * head.size) for head in MIXED.categorical}
    return Masks({name: torch.tensor(row).expand(rows, -1) for name, row in table.items()})


def mixed(seed: int, rows: int = 1) -> dict[str, Tensor]:
    """Logits of one row, repeated."""
    generator = torch.Generator().manual_seed(seed)
    return {h.name: torch.randn(h.size, generator=generator, dtype=DOUBLE).expand(rows, -1) for h in MIXED.heads}


@pytest.mark.parametrize("u", [-20.0, -9.0, -0.5, 0.0, 1e-3, 3.0, 9.0, 20.0, 60.0])
def test_the_density_of_a_squashed_number_is_exact_far_beyond_where_tanh_rounds_to_one(u: float) -> None:
    mean, log_std = 0.7 * u, 0.5
    with mpmath.workdps(80):
        slope = mpmath.log(1 - mpmath.tanh(u) ** 2)
        exact = float(mpmath.log(mpmath.npdf(u, mean, mpmath.e**log_std)) - slope)
    for dtype, rel in ((DOUBLE, 1e-14), (torch.float32, 1e-6)):
        row = outputs(mean, log_std).to(dtype)
        found = gaussian.log_density(Gaussian.of(row), torch.tensor([[u]], dtype=dtype), squash=True)
        assert float(found) == pytest.approx(exact, rel=rel, abs=4 * rel)


def test_densities_and_divergences_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    old, new, u = (torch.randn(50, size, generator=generator, dtype=DOUBLE) for size in (6, 6, 3))
    ours, theirs = [], []
    for row in (old, new):
        ours.append(Gaussian.of(row))
        theirs.append(Independent(Normal(ours[-1].mean, ours[-1].log_std.exp()), 1))
    squashed = TransformedDistribution(theirs[1], TanhTransform())
    torch.testing.assert_close(gaussian.log_density(ours[1], u, squash=True), squashed.log_prob(u.tanh()))
    torch.testing.assert_close(gaussian.log_density(ours[1], u, squash=False), theirs[1].log_prob(u))
    torch.testing.assert_close(gaussian.kl(*ours), kl_divergence(*theirs))
    assert bool((gaussian.kl(ours[0], ours[0]) == 0).all())


@settings(max_examples=40, deadline=None)
@given(st.floats(-12, 12), st.floats(-5, 2))
def test_entropy_and_its_gradient_are_those_of_quadrature(mean: float, log_std: float) -> None:
    """In nats per number: two equal numbers have that of one."""
    std = math.exp(log_std)

    def expect(function: Any) -> float:
        bend, how = max(-9.0, min(9.0, -mean / std)), {"limit": 400, "epsabs": 1e-11, "epsrel": 1e-11}
        total, _ = integrate.quad(lambda z: function(z) * math.exp(-z * z / 2), -9, 9, points=(bend,), **how)
        return float(total) / math.sqrt(2 * math.pi)

    def log_cosh(u: float) -> float:
        return abs(u) + math.log1p(math.exp(-2 * abs(u))) - math.log(2)

    value = log_std + 0.5 * math.log(2 * math.pi * math.e) - 2 * expect(lambda z: log_cosh(mean + std * z))
    by_mean = -2 * expect(lambda z: math.tanh(mean + std * z))
    by_log_std = 1 - 2 * expect(lambda z: math.tanh(mean + std * z) * std * z)
    for dtype, tolerance in ((DOUBLE, 5e-7), (torch.float32, 1e-5)):
        row = torch.tensor([mean, mean, log_std, log_std], dtype=dtype, requires_grad=True)
        entropy = gaussian.entropy(Gaussian.of(row), squash=True)
        entropy.backward()
        assert row.grad is not None
        assert float(entropy.detach()) == pytest.approx(value, abs=tolerance)
        by = row.grad.view(2, 2).sum(1).tolist()
        assert by == pytest.approx([by_mean, by_log_std], abs=tolerance * (1 + std))


def test_beyond_their_bounds_deviations_have_no_effect_and_no_gradient() -> None:
    row = torch.tensor([0.0, 0.0, -9.0, 9.0], requires_grad=True)
    found = Gaussian.of(row)
    assert found.log_std.tolist() == [-5, 2]
    gaussian.entropy(found, squash=True).backward()
    assert row.grad is not None and row.grad[2:].tolist() == [0, 0]
    assert Gaussian.of(row.detach().bfloat16()).mean.dtype == torch.float32


@pytest.mark.parametrize("seed", range(3))
def test_a_table_in_which_the_operation_decides_whether_numbers_matter(seed: int) -> None:
    """Probabilities add up to 1, and entropy and divergence are those of the sum over categories and u."""
    legal = {"gear": [True, seed != 1, True]}
    grid = torch.linspace(-60, 60, 24_001, dtype=DOUBLE)

    def joint(logits: dict[str, Tensor], op: int, gear: int, u: Tensor) -> Tensor:
        rows = len(u)
        wide = {name: value.expand(rows, -1) for name, value in logits.items()}
        categories = {"op": torch.full((rows,), op), "gear": torch.full((rows,), gear)}
        found = FactoredDistribution(MIXED, wide, masks(rows, **legal)).log_prob({**categories, "move": u[:, None]})
        return torch.stack(list(found.values())).sum(0)

    def mass(logits: dict[str, Tensor], function: Any = lambda op, gear, u: 1.0) -> float:
        waiting = joint(logits, 0, 0, torch.zeros(1, dtype=DOUBLE)).exp()
        total = float(waiting * function(0, 0, torch.zeros(1, dtype=DOUBLE)))
        for gear in (i for i, ok in enumerate(legal["gear"]) if ok):
            # The density is that of tanh u; its slope makes it one of u.
            density = (joint(logits, 1, gear, grid) + gaussian.log_slope(grid)).exp()
            total += float(torch.trapezoid(density * function(1, gear, grid), grid))
        return total

    new, old = mixed(seed), mixed(seed + 10)
    assert mass(new) == pytest.approx(1.0, abs=1e-9)
    expected = mass(old, lambda *taken: joint(old, *taken) - joint(new, *taken))
    ours, theirs = (FactoredDistribution(MIXED, logits, masks(1, **legal)) for logits in (new, old))
    assert float(ours.kl(theirs)) == pytest.approx(expected, abs=1e-7)
    assert float(ours.kl(ours)) == 0.0
    going = float(torch.softmax(new["op"][0], 0)[1])
    alone = float(gaussian.entropy(Gaussian.of(new["move"]), squash=True))
    assert float(ours.entropy()["move"]) == pytest.approx(going * alone)
    assert float(ours.choice_probability()["move"]) == pytest.approx(going)


def test_numbers_that_do_not_matter_are_zero_and_count_for_nothing() -> None:
    distribution = FactoredDistribution(MIXED, mixed(0, 200), masks(200))
    for deterministic in (False, True):
        drawn = distribution.sample(torch.Generator().manual_seed(0), deterministic)
        idle = drawn["op"] == 0
        assert bool((drawn["move"][idle] == 0).all())
        assert bool((distribution.log_prob(drawn)["move"][idle] == 0).all())
    waiting = FactoredDistribution(MIXED, mixed(0), masks(1, op=[True, False]))
    other = FactoredDistribution(MIXED, mixed(5), masks(1, op=[True, False]))
    assert float(waiting.entropy()["move"]) == 0.0 == float(waiting.kl_by_head(other)["move"])
    going = masks(3, op=[False, True])
    best = FactoredDistribution(MIXED, mixed(0, 3), going).sample(deterministic=True)
    assert torch.equal(best["move"], mixed(0, 3)["move"][:, :1]), "the mean is the most probable"


def test_draws_follow_the_gaussian_and_a_gain_raises_the_mean() -> None:
    count, row = 40_000, torch.tensor([0.3, -0.5], dtype=DOUBLE, requires_grad=True)
    logits = {**mixed(0, count), "move": row.expand(count, -1)}
    distribution = FactoredDistribution(MIXED, logits, masks(count, op=[False, True]))
    drawn = distribution.sample(torch.Generator().manual_seed(0))
    u, std = drawn["move"].detach(), math.exp(-0.5)
    assert float(u.mean()) == pytest.approx(0.3, abs=4 * std / math.sqrt(count))
    assert float(u.std()) == pytest.approx(std, rel=4 / math.sqrt(2 * count))
    gain = torch.tanh(u).squeeze(-1)
    log_prob = distribution.log_prob({**drawn, "move": u})["move"]
    (log_prob * (gain - gain.mean())).mean().backward()
    assert row.grad is not None and row.grad[0] > 0


def test_what_is_executed_stays_within_the_bounds_and_what_is_judged_is_u() -> None:
    u = torch.tensor([[-30.0, -0.5], [0.0, 0.0], [0.7, 30.0]], dtype=DOUBLE)
    squashed = ContinuousHead("a", ("x", "y"), low=(-2, 0.1), high=(4, 0.7))
    cut = evolve(squashed, name="b", squash=False, high=(4, math.inf))
    spec, taken = ActionSpec((squashed, cut)), {"a": u, "b": u}
    done = executed(spec, taken)
    low, high = torch.tensor([-2, 0.1], dtype=DOUBLE), torch.tensor([4, 0.7], dtype=DOUBLE)
    torch.testing.assert_close(done["a"].double(), low + (u.tanh() + 1) / 2 * (high - low), atol=1e-6, rtol=1e-6)
    assert torch.equal(done["b"], torch.tensor([[-2.0, 0.1], [0.0, 0.1], [0.7, 30.0]]))
    assert not any(bool(found.any()) for found in find_illegal(spec, Masks({}), done).values())
    outside = {**done, "b": done["b"] + torch.tensor([[0.0, -1.0], [5.0, 0.0], [0.0, 0.0]])}
    assert find_illegal(spec, Masks({}), outside)["b"].tolist() == [True, True, False]
    assert bool(find_illegal(spec, Masks({}), {**done, "a": done["a"] * torch.nan})["a"].all())
    logits = {name: torch.zeros(3, 4, dtype=DOUBLE) for name in spec.names}
    exact = Normal(torch.zeros(1, dtype=DOUBLE), 1.0).log_prob(u).sum(-1)
    torch.testing.assert_close(FactoredDistribution(spec, logits, Masks({})).log_prob(taken)["b"], exact)
    torch.testing.assert_close(neutral(spec, 2)["a"], torch.tensor([[1.0, 0.4]]).expand(2, -1))


class Wide(nn.Module):
    """Gives means far out, so that nearly everything it draws is squashed to a bound."""

    latent_dim, input_dim = 3, 3

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({head.name: nn.Linear(3, head.size) for head in MIXED.heads})
        nn.init.constant_(self.heads["move"].bias, 20.0)

    def initial_state(self, num_envs: int) -> None:
        return None

    def forward(self, features: Features, state: None, episode_start: Tensor) -> NetworkOutput:
        return NetworkOutput(features.obs, {name: head(features.obs) for name, head in self.heads.items()}, None)


class Flat(nn.Module):
    """Values of nothing."""

    def forward(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
        return Values(latent[..., 0], latent[..., 0], None)


def test_the_first_ratio_is_exactly_one_where_everything_is_saturated() -> None:
    torch.manual_seed(0)
    policy, obs = Policy(Wide(), Flat(), MIXED), torch.randn(64, 3)
    acted = policy.get_action(Features(obs, {}), masks(64), generator=torch.Generator().manual_seed(0))
    assert float(acted.actions["move"].max()) > 20
    stored = {name: value.unsqueeze(1) for name, value in acted.actions.items()}
    legal = Masks({name: mask.unsqueeze(1) for name, mask in masks(64).heads.items()})
    features = Features(obs.unsqueeze(1), {})
    with torch.no_grad():
        before = policy.evaluate_actions(features, legal, None, stored)
    after = policy.evaluate_actions(features, legal, None, stored)
    for name, old in before.log_prob.items():
        assert torch.equal((after.log_prob[name] - old).exp(), torch.ones_like(old))
        torch.testing.assert_close(acted.log_prob[name], old.squeeze(1), atol=1e-4, rtol=1e-5)
    assert torch.equal(after.choice["move"], stored["op"] == 1) and "move" not in after.n_legal
