"""Choosing few rows in which every pair of values still meets."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import combinations

Pair = tuple[tuple[str, Hashable], ...]
"""Two columns with a value each; one where there is only one column."""


def pairs(row: Mapping[str, Hashable]) -> frozenset[Pair]:
    """Return the pairs of values that meet in a row."""
    return frozenset(combinations(row.items(), min(2, len(row))))


def choose_pairwise(rows: Sequence[Mapping[str, Hashable]], met: Collection[Pair] = ()) -> tuple[int, ...]:
    """Return the numbers of rows in which every pair that meets in any of `rows` meets, in ascending order.

    Row by row, the one that brings most pairs not met so far is taken, the first of equals: the same rows give the same
    choice everywhere, and it is close to the smallest.

    Args:
        rows: Rows with the same columns in the same order.
        met: Pairs that need not meet again.
    """
    offered = [pairs(row) for row in rows]
    missing = set().union(*offered) - set(met)
    chosen: list[int] = []
    while missing:
        best = max(range(len(rows)), key=lambda number: len(offered[number] & missing))
        chosen.append(best)
        missing -= offered[best]
    return tuple(sorted(chosen))
