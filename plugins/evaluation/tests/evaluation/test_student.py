"""Means and their intervals, against scipy's."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from esper_evaluation.student import difference, mean_interval, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 7, 29, 30, 31, 40, 120, 1000])
def test_quantiles_are_those_of_students_t(degrees: int) -> None:
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=2e-3)


def test_degrees_are_rounded_down_so_that_intervals_are_never_too_narrow() -> None:
    assert t_quantile(5.9) == t_quantile(5) > t_quantile(6)
    assert t_quantile(0.4) == t_quantile(1)


@pytest.mark.parametrize("count", [2, 3, 8, 50])
def test_the_interval_of_a_mean(count: int) -> None:
    generator = random.Random(count)
    values = [generator.gauss(3, 2) for _ in range(count)]
    interval = mean_interval(values)
    assert interval is not None and interval.count == count
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=2e-3)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    interval = mean_interval([2.0])
    assert interval is not None and (interval.mean, interval.low, interval.high) == (2.0, None, None)
    assert mean_interval([]) is None


def test_the_difference_of_two_means_is_welchs() -> None:
    generator = random.Random(0)
    a, b = [generator.gauss(0, 1) for _ in range(9)], [generator.gauss(1, 3) for _ in range(14)]
    found = difference(a, b)
    assert found is not None
    exact = stats.ttest_ind(b, a, equal_var=False)
    expected = exact.confidence_interval(0.95)
    assert found.mean == pytest.approx(sum(b) / 14 - sum(a) / 9)
    # Degrees of freedom are rounded down: a little wider.
    assert found.low is not None and found.high is not None
    assert expected.low - 0.05 < found.low <= expected.low and expected.high <= found.high < expected.high + 0.05


def test_a_difference_needs_two_values_on_both_sides() -> None:
    assert difference([1.0], [1.0, 2.0]) is None
    same = difference([1.0, 1.0], [2.0, 2.0])
    assert same is not None and (same.mean, same.low, same.high) == (1.0, 1.0, 1.0)
