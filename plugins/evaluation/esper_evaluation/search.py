"""The best schedule that looks at nothing: random search on training instances, by sequential halving.

No torch is imported: who merges shards has every batch, and asks what the search has found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

Line = dict[str, Any]
"""What came of a batch, JSON-able."""
Rows = Sequence[Sequence[int]]
PlayBatch = Callable[[int, Sequence[Rows | None]], Line]
"""From the number of a batch, and who plays it, to what came of it; where nobody is named a new candidate is made."""


@frozen
class Found:
    """The schedule that did best.

    Attributes:
        rows: Its actions, one row per step.
        score: Mean return over the episodes that it played in the search. It was chosen for this, so it flatters; what
            the schedule is worth, the held-out instances say.
        episodes: How many these are; the more, the less luck is in the score.
        candidates: Schedules that were tried.
        searched: Episodes of the whole search.
    """

    rows: Rows
    score: float
    episodes: int
    candidates: int
    searched: int


@define
class _Candidate:
    rows: Rows
    returns: list[float] = field(factory=list)

    @property
    def score(self) -> float:
        return sum(self.returns) / len(self.returns)


@frozen
class Search:
    """A search that spends a number of batches of episodes, and all of it.

    The first round plays random legal episodes, whose actions are the candidates and whose returns are their first
    scores. Then, round by round, the better half of the candidates plays on other instances, equally often. Every batch
    starts the environment's draws from a seed of its own, so that a search goes on where it was left.

    Attributes:
        batches: Batches of `envs` episodes each, at least 1.
        envs: Episodes that are played side by side.
    """

    batches: int
    envs: int

    @property
    def episodes(self) -> int:
        """Episodes of the whole search."""
        return self.batches * self.envs

    @property
    def rounds(self) -> list[int]:
        """Batches of each round; as many rounds as halve the candidates of the first down to one."""
        rounds = 1
        while rounds < self.batches and self.envs * (self.batches // rounds) > 2**rounds:
            rounds += 1
        each = self.batches // rounds
        return [each] * (rounds - 1) + [self.batches - each * (rounds - 1)]

    def run(self, known: Mapping[int, Line], play: PlayBatch) -> Found:
        """Return the best schedule.

        Args:
            known: What came of batches that were played before, by the number of the batch.
            play: Plays the others, in ascending order.
        """
        candidates: list[_Candidate] = []
        batches = iter(range(self.batches))
        for number, count in enumerate(self.rounds):
            if number > 0:
                candidates = sorted(candidates, key=lambda candidate: -candidate.score)[: (len(candidates) + 1) // 2]
            turns = _turns(tuple(candidates))
            for batch in (next(batches) for _ in range(count)):
                chosen = [next(turns) for _ in range(self.envs)]
                line = known.get(batch)
                if line is None:
                    line = play(batch, [None if candidate is None else candidate.rows for candidate in chosen])
                for env, candidate in enumerate(chosen):
                    if candidate is None:
                        candidates.append(candidate := _Candidate(line["schedules"][env]))
                    candidate.returns.append(line["returns"][env])
        best = max(candidates, key=lambda candidate: candidate.score)
        tried = self.rounds[0] * self.envs
        return Found(best.rows, best.score, len(best.returns), tried, self.episodes)


def _turns(candidates: Sequence[_Candidate]) -> Iterator[_Candidate | None]:
    """Yield the candidates again and again, or None for ever when there are none yet."""
    while True:
        yield from candidates or (None,)
