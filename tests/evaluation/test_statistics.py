"""IQM and bootstrap: against known values, scipy's, and by how often intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from esper_core.evaluation.statistics import (
    Bootstrap,
    iqm,
    iqm_difference,
    mean_difference,
    oracle_gap,
    pooled_iqm,
)


def test_the_middle_half_counts() -> None:
    assert iqm(np.array([100.0, 1.0, 2.0, -50.0])) == 1.5
    assert iqm(np.array([3.0])) == 3.0
    assert iqm(np.array([[0.0, 1.0, 2.0, 3.0, 90.0], [5.0, 5.0, 5.0, 5.0, 5.0]])).tolist() == [2.0, 5.0]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 20, 61])
def test_it_is_scipys_trimmed_mean(count: int) -> None:
    values = np.random.default_rng(count).normal(size=(3, count))
    assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=-1), abs=1e-12)


def test_seeds_and_instances_are_pooled() -> None:
    values = np.arange(8.0).reshape(2, 4)
    assert pooled_iqm(values) == iqm(np.arange(8.0)) == 3.5


def test_an_arm_against_itself_makes_no_difference_at_all() -> None:
    values = np.random.default_rng(0).normal(size=(3, 20))
    bootstrap = Bootstrap.draw(20, 3)
    for statistic in (iqm_difference, mean_difference):
        found = bootstrap.estimate(statistic, values, values)
        assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_what_arms_share_cancels_out() -> None:
    """Instances differ by far more than arms do; paired, a constant gain is known exactly."""
    hardness = np.random.default_rng(1).normal(0, 10, size=(1, 20))
    found = Bootstrap.draw(20, 1).estimate(iqm_difference, hardness + 0.5, hardness)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    alone = Bootstrap.draw(20, 1).estimate(pooled_iqm, hardness)
    assert alone.high - alone.low > 5


def test_draws_are_the_same_every_time_and_as_many_as_there_are() -> None:
    one, two = Bootstrap.draw(7, 2), Bootstrap.draw(7, 2)
    assert np.array_equal(one.instances, two.instances) and np.array_equal(one.seeds, two.seeds)
    assert one.instances.shape == (10_000, 7) and one.seeds.shape == (10_000, 2)
    assert set(np.unique(one.instances)) == set(range(7)) and set(np.unique(one.seeds)) == {0, 1}


def test_an_arm_without_policies_varies_with_instances_alone() -> None:
    bootstrap = Bootstrap.draw(2, 3, resamples=100)
    drawn = bootstrap.of(np.array([[1.0, 2.0]]))
    assert drawn.shape == (100, 1, 2)
    assert np.array_equal(drawn[:, 0], bootstrap.instances + 1.0)


def test_seeds_widen_the_interval() -> None:
    seeds = np.repeat([[0.0], [1.0], [2.0]], 30, axis=1)
    found = Bootstrap.draw(30, 3).estimate(mean_difference, seeds, np.zeros((1, 30)))
    assert found.value == 1.0 and found.low == pytest.approx(0.0, abs=0.34) and found.high > 1.6


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Normal values around 0, whose IQM is 0 too; percentile intervals of few instances hold it a little too seldom."""
    generator = np.random.default_rng(2)
    bootstrap = Bootstrap.draw(30, 1, resamples=1000)
    held = 0
    for _ in range(400):
        found = bootstrap.estimate(pooled_iqm, generator.normal(size=(1, 30)))
        held += found.low <= 0.0 <= found.high
    assert 0.90 <= held / 400 <= 0.98


def test_the_mean_difference_has_the_normal_interval() -> None:
    differences = np.random.default_rng(3).normal(1.0, 2.0, size=(1, 400))
    found = Bootstrap.draw(400, 1).estimate(mean_difference, differences, np.zeros((1, 400)))
    half = 1.96 * differences.std() / 20
    mean = differences.mean()
    assert (found.value, found.low, found.high) == pytest.approx((mean, mean - half, mean + half), abs=0.02)


def test_the_oracle_gap_is_what_choosing_per_instance_would_bring() -> None:
    one, two = np.array([[1.0, 0.0, 1.0, 0.0]]), np.array([[0.0, 1.0, 0.0, 0.5]])
    assert oracle_gap(one, two) == (1 + 1 + 1 + 0.5) / 4 - 0.5
    assert oracle_gap(one, one - 0.1) == 0.0
    assert oracle_gap(one) == 0.0
