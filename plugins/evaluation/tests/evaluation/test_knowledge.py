"""What knowing the kind of an instance is worth: noise is called noise, and what is there is found."""

from __future__ import annotations

import numpy as np
import pytest

from esper_evaluation.knowledge import oracle_gap
from esper_evaluation.statistics import Values


def outcomes(generator: np.random.Generator, noise: str, shape: tuple[int, int]) -> Values:
    return generator.normal(size=shape) if noise == "normal" else 1.0 * (generator.random(shape) < 0.5)


@pytest.mark.parametrize("noise", ["normal", "binary"])
@pytest.mark.parametrize(("instances", "kinds"), [(20, 5), (30, 2)])
def test_pure_noise_is_called_noise(noise: str, instances: int, kinds: int) -> None:
    """However much harder some instances are than others, and some kinds than others."""
    generator, trials, found = np.random.default_rng(0), 200, 0
    of = np.arange(instances) % kinds
    for _ in range(trials):
        hardness = generator.normal(0, 3, size=instances) + 5.0 * of
        gap = oracle_gap(outcomes(generator, noise, (5, instances)) + hardness, of.tolist(), permutations=200)
        assert gap is not None and gap.low <= gap.value <= gap.high
        found += gap.low > 0
    assert found / trials <= 0.05


def test_each_instance_is_scored_by_what_is_best_on_the_others() -> None:
    rules = np.array([[4.0, 0.0, 1.0, 9.0, 2.0], [1.0, 3.0, 2.0, 5.0, 9.0], [0.0, 1.0, 4.0, 2.0, 3.0]])
    kinds = ["a", "b", "a", "b", "c"]
    expected = []
    for i, kind in enumerate(kinds):
        elsewhere = [j for j in range(5) if j != i]
        alike = [j for j in elsewhere if kinds[j] == kind] or elsewhere
        expected.append(rules[rules[:, alike].sum(axis=1).argmax(), i])
    found = oracle_gap(rules, kinds, permutations=50)
    assert found is not None and found.value == pytest.approx(np.mean(expected) - 4.0)


@pytest.mark.parametrize(
    ("rules", "kinds"),
    [(1, ["a", "a", "b", "b"]), (3, ["a"] * 4), (3, ["a", "b", "c", "d"])],
    ids=["one-rule", "one-kind", "each-its-own"],
)
def test_without_a_choice_there_is_no_gap(rules: int, kinds: list[str]) -> None:
    assert oracle_gap(np.random.default_rng(0).normal(size=(rules, 4)), kinds) is None
