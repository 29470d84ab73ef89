"""Which matches a league plays next: both sides of each seed, first those who have met least. Pure functions."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from attrs import frozen

Pair = tuple[str, str]


@frozen
class Fixture:
    """A match to be played: ids of entries, the first of which drives the learner's rows, and the instance."""

    first: str
    second: str
    instance: int


def fixtures(
    entries: Sequence[str], played: Iterable[tuple[str, str, int]], instances: Sequence[int], games: int
) -> list[Fixture]:
    """Return the next matches, `games` of them or one more, so that every seed is played from both sides.

    Pairs that have met least come first, and a seed that was half played before new ones. Who is the first of a pair
    changes with every seed: in some environments the learner's side has another lot than the other.

    Args:
        entries: Ids of those who play.
        played: First, second and instance of the matches on record.
        instances: Those that are played, in order, each seed's two side by side; see `enough`.
        games: Matches wanted.

    Raises:
        ValueError: there are fewer than two entries, or instances are used up.
    """
    if len(entries) < 2:
        raise ValueError("a match takes two")
    record = set(played)
    met = Counter(frozenset((first, second)) for first, second, _ in record)
    each = Counter(side for first, second, _ in record for side in (first, second))
    pairs = {pair: _open(pair, record, instances) for pair in combinations(sorted(entries), 2)}
    waiting = [(met[frozenset(pair)], each[pair[0]] + each[pair[1]], pair) for pair in pairs]
    heapq.heapify(waiting)
    found: list[Fixture] = []
    while len(found) < games:
        count, both, pair = waiting[0]
        if not (unit := next(pairs[pair], [])):
            raise ValueError(f"there are no instances left for {pair}")
        found += unit
        heapq.heapreplace(waiting, (count + len(unit), both + 2 * len(unit), pair))
    return found


def enough(played: Iterable[tuple[str, str, int]], games: int) -> int:
    """Return how many instances `fixtures` needs at most."""
    met = Counter(frozenset((first, second)) for first, second, _ in played)
    return 2 * (max(met.values(), default=0) + games + 1)


def batches(wanted: Sequence[Fixture], size: int) -> list[list[Fixture]]:
    """Return matches in batches of up to `size` with the same second, who is the opponent of a whole batch."""
    by_second: dict[str, list[Fixture]] = {}
    for fixture in wanted:
        by_second.setdefault(fixture.second, []).append(fixture)
    return [same[at : at + size] for same in by_second.values() for at in range(0, len(same), size)]


def _open(pair: Pair, record: set[tuple[str, str, int]], instances: Sequence[int]) -> Iterator[list[Fixture]]:
    """Yield, seed after seed, the matches of a pair that were not played."""
    for seed in range(len(instances) // 2):
        first, second = pair if seed % 2 == 0 else pair[::-1]
        both = instances[2 * seed : 2 * seed + 2]
        if unit := [Fixture(first, second, n) for n in both if (first, second, n) not in record]:
            yield unit
