"""The best schedule that looks at nothing: random search on training instances, by sequential halving."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from esper_core.contracts.foreign import UNKNOWN, Owners
from esper_core.contracts.protocols import Environment, MaskProvider, Rule
from esper_evaluation.schedule import Schedule, Wandering, recorded
from esper_testing.player import Played, Separately, derived_seed, play

Line = dict[str, Any]
"""What came of a batch, JSON-able."""
OnStep = Callable[[int], None]
Rows = Sequence[Sequence[int]]


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
        environment: Its reset draws training instances.
        masks: What is legal in it.
        batches: Batches of `num_envs` episodes each, at least 1.
        owners: Whose code environment and masks are.
    """

    environment: Environment
    masks: MaskProvider
    batches: int
    owners: Owners = UNKNOWN

    @property
    def episodes(self) -> int:
        """Episodes of the whole search."""
        return self.batches * self.environment.num_envs

    @property
    def rounds(self) -> list[int]:
        """Batches of each round; as many rounds as halve the candidates of the first down to one."""
        rounds = 1
        while rounds < self.batches and self.environment.num_envs * (self.batches // rounds) > 2**rounds:
            rounds += 1
        each = self.batches // rounds
        return [each] * (rounds - 1) + [self.batches - each * (rounds - 1)]

    def run(self, known: Mapping[int, Line], keep: Callable[[Line], None], on_step: OnStep) -> Found:
        """Return the best schedule.

        Args:
            known: What `keep` was given before, by the number of the batch; these batches are not played again.
            keep: Takes in what came of a batch when it has been played.
            on_step: Called with the number of steps taken in a batch.

        Raises:
            PluginError: the environment does not say the return of its episodes.
        """
        candidates: list[_Candidate] = []
        batches = iter(range(self.batches))
        for number, count in enumerate(self.rounds):
            if number > 0:
                candidates = sorted(candidates, key=lambda candidate: -candidate.score)[: (len(candidates) + 1) // 2]
            turns = _turns(tuple(candidates))
            for batch in (next(batches) for _ in range(count)):
                chosen = [next(turns) for _ in range(self.environment.num_envs)]
                line = known.get(batch)
                if line is None:
                    keep(line := self._play(batch, chosen, on_step))
                for env, candidate in enumerate(chosen):
                    if candidate is None:
                        candidates.append(candidate := _Candidate(line["schedules"][env]))
                    candidate.returns.append(line["returns"][env])
        best = max(candidates, key=lambda candidate: candidate.score)
        tried = self.rounds[0] * self.environment.num_envs
        return Found(best.rows, best.score, len(best.returns), tried, self.episodes)

    def _play(self, batch: int, chosen: Sequence[_Candidate | None], on_step: OnStep) -> Line:
        """Play a batch; where no candidate is chosen a new one is made."""
        spec = self.environment.actions
        rules: list[Rule] = [Wandering(spec) if c is None else Schedule(spec, c.rows) for c in chosen]
        seeds = [derived_seed("search", batch, env) for env in range(len(rules))]
        played: Played = play(
            self.environment,
            self.masks,
            Separately(rules, seeds),
            seed=derived_seed("search", batch),
            on_step=on_step,
            owners=self.owners,
        )
        line: Line = {"batch": batch, "returns": played.returns()}
        if chosen[0] is None:
            line["schedules"] = [recorded(spec, played, env) for env in range(len(rules))]
        return line


def _turns(candidates: Sequence[_Candidate]) -> Iterator[_Candidate | None]:
    """Yield the candidates again and again, or None for ever when there are none yet."""
    while True:
        yield from candidates or (None,)
