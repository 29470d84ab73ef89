"""Few rows, every pair."""

from __future__ import annotations

from itertools import combinations, product
from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from esper_testing.matrix.pairs import choose_pairwise, pairs

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def rows_of(sizes: list[int]) -> list[dict[str, int]]:
    names = [f"c{i}" for i in range(len(sizes))]
    return [dict(zip(names, values, strict=True)) for values in product(*map(range, sizes))]


@settings(deadline=None)
@given(SIZES)
def test_every_pair_of_values_occurs(sizes: list[int]) -> None:
    rows = rows_of(sizes)
    chosen = [rows[number] for number in choose_pairwise(rows)]
    for a, b in combinations(range(len(sizes)), 2):
        met = {(row[f"c{a}"], row[f"c{b}"]) for row in chosen}
        assert met == set(product(range(sizes[a]), range(sizes[b])))
    if len(sizes) == 1:
        assert [row["c0"] for row in chosen] == list(range(sizes[0]))


@settings(deadline=None)
@given(SIZES)
def test_the_choice_is_small_and_has_no_row_twice(sizes: list[int]) -> None:
    chosen = choose_pairwise(rows_of(sizes))
    assert len(set(chosen)) == len(chosen) <= prod(sizes)
    assert list(chosen) == sorted(chosen)
    # Two columns need as many rows as they have pairs; greedy needs at most about twice as many for all columns.
    largest = sorted(sizes, reverse=True)[:2]
    assert prod(largest) <= len(chosen) <= 2 * prod(largest) + 1


@settings(deadline=None)
@given(SIZES.filter(lambda sizes: prod(sizes) > 1), st.randoms())
def test_pairs_that_have_met_are_not_asked_for_again(sizes: list[int], random: object) -> None:
    rows = rows_of(sizes)
    half = rows[: len(rows) // 2]
    met = frozenset().union(*map(pairs, half))
    rest = rows[len(half) :]
    chosen = [rest[number] for number in choose_pairwise(rest, met)]
    assert frozenset().union(*map(pairs, rest)) <= met.union(*map(pairs, chosen))
    assert all(pairs(row) - met for row in chosen)
