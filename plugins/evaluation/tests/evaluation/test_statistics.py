"""IQM and bootstrap: against known values, scipy's, and by how often intervals hold the truth."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from esper_evaluation import student
from esper_evaluation.statistics import (
    Bootstrap,
    Estimate,
    Location,
    Sampled,
    Values,
    iqm,
    margin,
    pooled_iqm,
    pooled_mean,
)

COUNTS, SEEDS = st.integers(1, 40), st.integers(0, 2**32 - 1)


def drawn(seed: int, *shape: int) -> Values:
    return np.random.default_rng(seed).normal(size=shape)


def test_the_middle_half_counts() -> None:
    assert iqm(np.array([100.0, 1.0, 2.0, -50.0])) == 1.5
    assert iqm(np.array([3.0])) == 3.0
    # Of five values the middle one counts whole, its neighbours three quarters each.
    assert iqm(np.array([[0.0, 1.0, 2.0, 4.0, 90.0], [5.0] * 5])).tolist() == [(0.75 + 2 + 3) / 2.5, 5.0]


@given(COUNTS, SEEDS)
def test_it_is_scipys_trimmed_mean_where_quartiles_fall_between_values(quarter: int, seed: int) -> None:
    values = drawn(seed, 2, 4 * quarter)
    assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=-1), abs=1e-12)


@given(COUNTS, st.integers(1, 7), SEEDS)
def test_an_arm_like_another_differs_from_it_by_exactly_nothing(count: int, seeds: int, seed: int) -> None:
    """To the last bit, so that no interval leaves 0 out; however many instances and policy seeds there are."""
    rule = drawn(seed, 1, count)
    bootstrap = Bootstrap.draw(count, seeds, resamples=50)
    for location in (pooled_iqm, pooled_mean):
        alike = bootstrap.sampled(location, np.repeat(rule, seeds, axis=0)), bootstrap.sampled(location, rule)
        assert margin(alike[0], [alike[1], alike[1]]) == (0, Estimate(0.0, 0.0, 0.0))


def difference(bootstrap: Bootstrap, location: Location, first: Values, second: Values) -> Estimate:
    one, two = bootstrap.sampled(location, first), bootstrap.sampled(location, second)
    # Among rivals of which there is one, the best one is no choice.
    assert margin(one, [two])[1] == (one - two).estimate
    return (one - two).estimate


def test_what_arms_share_cancels_out() -> None:
    """Instances differ by far more than arms do; paired, a constant gain is known exactly."""
    hardness = np.random.default_rng(1).normal(0, 10, size=(1, 20))
    bootstrap = Bootstrap.draw(20, 1)
    found = difference(bootstrap, pooled_iqm, hardness + 0.5, hardness)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    alone = bootstrap.sampled(pooled_iqm, hardness).estimate
    assert alone.high - alone.low > 5


def test_draws_are_the_same_every_time_and_as_many_as_there_are() -> None:
    one, two = Bootstrap.draw(7, 2), Bootstrap.draw(7, 2)
    assert np.array_equal(one.instances, two.instances) and np.array_equal(one.seeds, two.seeds)
    assert one.instances.shape == (10_000, 7) and one.seeds.shape == (10_000, 2)
    assert set(np.unique(one.instances)) == set(range(7)) and set(np.unique(one.seeds)) == {0, 1}


def test_seeds_widen_the_interval() -> None:
    seeds = np.repeat([[0.0], [1.0], [2.0]], 30, axis=1)
    found = difference(Bootstrap.draw(30, 3), pooled_mean, seeds, np.zeros((1, 30)))
    assert found.value == 1.0 and found.low == pytest.approx(0.0, abs=0.34) and found.high > 1.6


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Normal values around 0, whose IQM is 0 too; percentile intervals of few instances hold it a little too seldom."""
    generator = np.random.default_rng(2)
    bootstrap = Bootstrap.draw(30, 1, resamples=1000)
    held = 0
    for _ in range(400):
        found = bootstrap.sampled(pooled_iqm, generator.normal(size=(1, 30))).estimate
        held += found.low <= 0.0 <= found.high
    assert 0.90 <= held / 400 <= 0.98


def verdicts(rules: int, policy: float, trials: int = 400) -> tuple[float, float, float]:
    """Return how often a policy is found worse and better than the best rule, and worse were it the only one.

    All share what is hard and differ by luck; `policy` is added to the policy.
    """
    generator, bootstrap, count = np.random.default_rng(4), Bootstrap.draw(40, 1, resamples=400), np.zeros(3)
    for _ in range(trials):
        hardness = generator.normal(0, 2, size=(1, 40))
        arms = [bootstrap.sampled(pooled_iqm, hardness + generator.normal(size=(1, 40))) for _ in range(1 + rules)]
        moved = arms[0] - Sampled(-policy, np.full(400, -policy))
        best, found = margin(moved, arms[1:])
        alone = (moved - arms[1 + best]).estimate
        count += (found.high < 0, found.low > 0, alone.high < 0)
    return tuple(count / trials)


def test_the_best_of_equal_rules_is_no_better_than_an_equal_policy() -> None:
    """2.5 % may be found worse; were the best rule taken as given it would be several times as many."""
    worse, better, naive = verdicts(rules=6, policy=0.0)
    assert worse <= 0.045 and better <= 0.025 < 0.06 < naive


@pytest.mark.parametrize("rules", [1, 6])
def test_a_policy_that_is_better_or_worse_than_the_best_rule_is_found_out(rules: int) -> None:
    assert verdicts(rules, policy=-1.3, trials=60)[0] > 0.9
    assert verdicts(rules, policy=+1.6, trials=60)[1] > 0.9


# Means and their intervals


@pytest.mark.parametrize("degrees", [1, 2, 29, 30, 31, 120, 1000])
def test_quantiles_are_those_of_students_t(degrees: int) -> None:
    assert student.t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=2e-3)
    # Degrees are rounded down, so that intervals are never too narrow.
    assert student.t_quantile(5.9) == student.t_quantile(5) > student.t_quantile(6)
    assert student.t_quantile(0.4) == student.t_quantile(1)


@pytest.mark.parametrize("count", [2, 3, 8, 50])
def test_the_interval_of_a_mean(count: int) -> None:
    generator = random.Random(count)
    values = [generator.gauss(3, 2) for _ in range(count)]
    interval = student.mean_interval(values)
    assert interval is not None and interval.count == count
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=2e-3)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    interval = student.mean_interval([2.0])
    assert interval is not None and (interval.mean, interval.low, interval.high) == (2.0, None, None)
    assert student.mean_interval([]) is None


def test_the_difference_of_two_means_is_welchs() -> None:
    generator = random.Random(0)
    a, b = [generator.gauss(0, 1) for _ in range(9)], [generator.gauss(1, 3) for _ in range(14)]
    found = student.difference(a, b)
    assert found is not None
    exact = stats.ttest_ind(b, a, equal_var=False)
    expected = exact.confidence_interval(0.95)
    assert found.mean == pytest.approx(sum(b) / 14 - sum(a) / 9)
    # Degrees of freedom are rounded down: a little wider.
    assert found.low is not None and found.high is not None
    assert expected.low - 0.05 < found.low <= expected.low and expected.high <= found.high < expected.high + 0.05


def test_a_difference_needs_two_values_on_both_sides() -> None:
    assert student.difference([1.0], [1.0, 2.0]) is None
    same = student.difference([1.0, 1.0], [2.0, 2.0])
    assert same is not None and (same.mean, same.low, same.high) == (1.0, 1.0, 1.0)
