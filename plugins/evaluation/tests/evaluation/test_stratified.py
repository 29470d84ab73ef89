"""The stratified mean of paired differences: against worked values, closed forms, and how often it holds the truth."""

from __future__ import annotations

import numpy as np
import pytest

from esper_evaluation.statistics import Estimate, Values
from esper_evaluation.stratified import paired_mean
from esper_evaluation.student import t_quantile

KINDS = ["a"] * 40 + ["b"] * 20
SHIFT = np.array([1.0 if kind == "a" else -2.0 for kind in KINDS])
"""Kinds differ by far more than instances of a kind."""


def half(estimate: Estimate) -> float:
    return (estimate.high - estimate.low) / 2


def simulated(generator: np.random.Generator, seeds: int, by_seed: float, by_instance: float) -> Values:
    """Return differences whose mean is 0, and whose parts have these deviations."""
    between = generator.normal(0, by_seed, (seeds, 1)) + generator.normal(0, by_instance, (1, len(KINDS)))
    return between + SHIFT


def test_the_mean_is_that_of_the_kinds_by_their_share_and_each_kind_is_told() -> None:
    found = paired_mean(np.array([[1.0, 3.0, 10.0, 5.0, 5.0]]), ["a", "a", "c", "b", "b"])
    assert found.estimate.value == pytest.approx(4.8)
    counts = {kind: count for kind, (count, _) in found.kinds.items()}
    assert counts == {"a": 2, "c": 1, "b": 2} and found.kinds["c"][1] == 10.0
    assert found.kinds["b"][1] == Estimate(5.0, 5.0, 5.0), "what does not vary is known"
    alike = paired_mean(np.zeros((3, 4)), ["a", "b", "c", "d"])
    assert alike.estimate == Estimate(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="two instances"):
        paired_mean(np.zeros((3, 2)), ["a", "a"], together=2)


def test_its_width_is_that_of_the_closed_form() -> None:
    """One seed: Σ w² s² / n over kinds. Seeds alone: s² / S. What lies between kinds adds nothing."""
    generator = np.random.default_rng(3)
    (apart,) = differences = simulated(generator, 1, 0.0, 0.5)
    parts = [((np.array(KINDS) == kind).mean(), apart[np.array(KINDS) == kind]) for kind in "ab"]
    variances = [share**2 * own.var(ddof=1) / len(own) for share, own in parts]
    degrees = sum(variances) ** 2 / sum(v**2 / (len(own) - 1) for v, (_, own) in zip(variances, parts, strict=True))
    wanted = t_quantile(degrees) * np.sqrt(sum(variances))
    assert half(paired_mean(differences, KINDS).estimate) == pytest.approx(wanted, rel=0.02)
    assert half(paired_mean(differences, ["all"] * 60).estimate) > 2 * wanted, "unless kinds are not told apart"
    seeds = simulated(generator, 12, 1.0, 0.0)
    wanted = t_quantile(11) * seeds.mean(axis=1).std(ddof=1) / np.sqrt(12)
    assert half(paired_mean(seeds, KINDS).estimate) == pytest.approx(wanted, rel=0.05)


def test_both_sides_of_a_seed_count_as_one() -> None:
    values = np.random.default_rng(1).normal(size=(2, 30))
    twice = paired_mean(np.repeat(values, 2, axis=1), ["a"] * 60, together=2)
    assert twice.estimate == paired_mean(values, ["a"] * 30).estimate and twice.kinds["a"][0] == 60


@pytest.mark.parametrize(
    ("seeds", "by_seed", "by_instance"), [(1, 0.0, 0.5), (5, 0.05, 0.5), (5, 0.3, 0.1), (3, 0.5, 0.5)]
)
def test_it_holds_the_truth_as_often_as_it_says(seeds: int, by_seed: float, by_instance: float) -> None:
    """Also where few seeds make up most of the variance. Three standard deviations of 400 trials are 3.3 %."""
    generator, held = np.random.default_rng(2), 0
    for _ in range(400):
        found = paired_mean(simulated(generator, seeds, by_seed, by_instance), KINDS, resamples=400).estimate
        held += found.low <= SHIFT.mean() <= found.high
    assert 0.915 <= held / 400 <= 0.99


def test_luck_of_a_seed_on_an_instance_makes_it_wider_not_narrower() -> None:
    """Alone it is a variance σ² / (S·I), and is drawn with seeds, with instances, and with both: three times that."""
    generator = np.random.default_rng(5)
    widths = [half(paired_mean(generator.normal(size=(6, 60)), KINDS).estimate) for _ in range(12)]
    alone = 2.0 / np.sqrt(6 * 60)
    assert alone < np.mean(widths) < 2.2 * alone
