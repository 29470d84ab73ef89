"""The programme of a contest: which episodes there are, in which order they are written down. No torch is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from esper_core.contracts.errors import UserError, did_you_mean
from esper_core.contracts.state import Outcome
from esper_core.registry.sources import made_with
from esper_core.runs.shards import Job, divide
from esper_core.system.content import digest
from esper_evaluation.arms import FIXED, REPLAY, SELECTOR, Arm, with_needed
from esper_evaluation.records import Batched, Drawing, Key, Records, job_of
from esper_evaluation.search import Found, Line, Search
from esper_evaluation.selector import Selector, version_of

if TYPE_CHECKING:
    from esper_evaluation.statistics import Values


@frozen
class Played:
    """What a contest brought.

    Attributes:
        instances: Numbers of the instances.
        seeds: Policy seeds.
        values: Arm → outcome → `[S, I]`, with one row for an arm without a policy.
        tags: What the environment says in words about each instance, such as its host: name → text.
        found: The schedule of `best-fixed`, where it took part.
        training: Rule → outcome → mean on training instances, where these were played.
        selector: The tree that chose among the rules, where it took part.
        chosen: Rule → on how many instances the selector took it.
        played: Episodes that were not on record, those of the search included.
        folder: Where the records lie.
    """

    instances: Sequence[int]
    seeds: Sequence[int]
    values: Mapping[str, Mapping[str, Values]]
    tags: Sequence[Mapping[str, str]]
    found: Found | None
    training: Mapping[str, Mapping[str, float]]
    selector: Selector | None
    chosen: Mapping[str, int]
    played: int
    folder: Path


@frozen
class Programme:
    """Who plays which instances.

    Attributes:
        arms: Who takes part.
        checkpoints: Policy seed → digest of a checkpoint.
        rules: Arm that is a rule → what it is made of.
        search: The search for `best-fixed`.
        instances: Instances of all arms but `best-fixed`.
        scheduled: Those of `best-fixed`; without any nothing is searched.
        drawn: Training instances that rules play, so that the best can be chosen there.
        selected: Instances of the selector, which is fitted to what was drawn.
    """

    arms: Sequence[Arm]
    checkpoints: Mapping[int, str]
    rules: Mapping[str, str]
    search: Search
    instances: Sequence[int]
    scheduled: Sequence[int]
    drawn: Sequence[Drawing] = ()
    selected: Sequence[int] = ()

    @classmethod
    def whole(
        cls,
        arms: Sequence[Arm],
        checkpoints: Mapping[int, str],
        rules: Mapping[str, str],
        search: Search,
        instances: Sequence[int],
        draws: int = 0,
    ) -> Programme:
        """Return a programme in which all arms play all instances, and rules so many batches of training instances."""
        fixed, selecting = (any(arm.name == name for arm in arms) for name in (FIXED, SELECTOR))
        drawn = [Drawing(name, made, search.envs, batch) for name, made in rules.items() for batch in range(draws)]
        scheduled, selected = (instances if taking_part else () for taking_part in (fixed, selecting))
        return cls(arms, checkpoints, rules, search, instances, scheduled, drawn, selected)

    def shares(self, of: int, together: int) -> list[Programme]:
        """Return what each of several machines plays.

        All that is played on an instance is played by one, since some arms are made of others' episodes; so are
        instances that are one, seen from several sides. The search is one job, whole, with all that `best-fixed` plays:
        round by round it goes on from its last. So are training instances with all that the selector plays, which is
        fitted to them all. Whoever has one of these has fewer instances.
        """
        groups = [self.instances[first : first + together] for first in range(0, len(self.instances), together)]
        one = evolve(self, instances=self.instances[:1], scheduled=(), drawn=(), selected=())
        episodes = sum(len(phase) for phase in one.phases())
        costs = [episodes * len(group) for group in groups]
        costs.append(self.search.episodes + len(self.scheduled) if self.scheduled else 0)
        drawn = [self.drawn] if self.selected else [[which] for which in self.drawn]
        costs += [self.search.envs * len(some) + len(self.selected) for some in drawn]
        searched = len(groups)
        return [
            evolve(
                self,
                instances=[instance for number in numbers if number < len(groups) for instance in groups[number]],
                scheduled=self.scheduled if searched in numbers else (),
                drawn=[which for number in numbers if number > searched for which in drawn[number - searched - 1]],
                selected=self.selected if max(numbers, default=0) > searched else (),
            )
            for numbers in divide(costs, of)
        ]

    def keys(self, arm: Arm) -> list[Key]:
        """Return all episodes of an arm, instance by instance for each seed."""
        if arm.learned:
            return [Key(arm.name, made, seed, i) for seed, made in self.checkpoints.items() for i in self.instances]
        if arm.name == SELECTOR:
            version = version_of(self.rules, self.drawn)
            return [Key(arm.name, version, None, i) for i in self.selected]
        if arm.rule is None:
            return [Key(arm.name, f"{self.search.episodes} episodes", None, i) for i in self.scheduled]
        return [Key(arm.name, self.rules[arm.name], None, i) for i in self.instances]

    def phases(self) -> Iterator[list[tuple[Arm, Key]]]:
        """Yield episodes, those first that others are made of, and those last that wait for the search or the tree."""
        everyone = with_needed(self.arms)
        for which in (
            lambda arm: not arm.needs and arm.name not in (FIXED, SELECTOR),
            lambda arm: arm.needs and arm.name != REPLAY,
            lambda arm: arm.name == REPLAY,
            lambda arm: arm.name in (FIXED, SELECTOR),
        ):
            yield [(arm, key) for arm in everyone if which(arm) for key in self.keys(arm)]

    def batches(self) -> list[Batched]:
        """Return the batches of the search."""
        which = range(self.search.batches) if self.scheduled else ()
        return [Batched(self.search.episodes, self.search.envs, batch) for batch in which]

    def searched(self, records: Records) -> dict[int, Line]:
        """Return the batches of the search that are on record."""
        return {which.batch: records.batches[which] for which in self.batches() if which in records.batches}

    @property
    def count(self) -> int:
        """How many episodes there are, those of the search included."""
        return sum(map(len, self.phases())) + (len(self.batches()) + len(self.drawn)) * self.search.envs

    def undrawn(self, records: Records) -> list[Drawing]:
        """Return the batches of training instances that are not on record."""
        return [which for which in self.drawn if which not in records.drawings]

    def missing(self, records: Records) -> int:
        """Return how many episodes are not on record, those of the search included."""
        batches = len(self.batches()) - len(self.searched(records)) + len(self.undrawn(records))
        unplayed = sum(key not in records.lines for phase in self.phases() for _, key in phase)
        return unplayed + batches * self.search.envs

    def jobs(self, records: Records) -> list[Job]:
        """Return what is not on record as the jobs of a shard."""
        batches = [job_of(which) for which in self.batches() if which not in records.batches]
        batches += map(job_of, self.undrawn(records))
        return batches + [job_of(key) for phase in self.phases() for _, key in phase if key not in records.lines]

    def values(self, arm: Arm, records: Records, outcomes: Sequence[Outcome]) -> dict[str, Values]:
        """Return what an arm achieved: outcome → `[S, I]`."""
        import numpy as np

        keys = self.keys(arm)
        lines = [records.lines[key]["outcomes"] for key in keys]
        seeds = len(self.checkpoints) if arm.learned else 1
        return {
            outcome.name: np.array([line[outcome.name] for line in lines]).reshape(seeds, -1) for outcome in outcomes
        }

    def played(
        self,
        records: Records,
        outcomes: Sequence[Outcome],
        found: Found | None,
        selector: Selector | None,
        played: int,
        folder: Path,
    ) -> Played:
        """Return what came of it, when all is on record."""
        values = {arm.name: self.values(arm, records, outcomes) for arm in self.arms}
        tags, training = self.tags(records), self.training(records, outcomes)
        seeds, chosen = [*self.checkpoints], self.chosen(records)
        return Played(self.instances, seeds, values, tags, found, training, selector, chosen, played, folder)

    def selector(self, records: Records, fields: Sequence[str], outcome: Outcome) -> Selector | None:
        """Return the tree, fitted to what was drawn, all of which is on record; None where it has no instances."""
        if not self.selected:
            return None
        drawings = {which: records.drawings[which] for which in self.drawn}
        return Selector.of(fields, drawings, outcome.name, 1.0 if outcome.higher_is_better else -1.0)

    def chosen(self, records: Records) -> dict[str, int]:
        """Return how often the selector took each rule."""
        keys = [key for arm in self.arms if arm.name == SELECTOR for key in self.keys(arm)]
        return dict(Counter(records.lines[key]["chosen"] for key in keys).most_common())

    def training(self, records: Records, outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
        """Return what each rule achieved on training instances: rule → outcome → mean; empty where none were played."""
        lines = {arm: [records.drawings[w]["outcomes"] for w in self.drawn if w.arm == arm] for arm in self.rules}
        names = [outcome.name for outcome in outcomes]
        return {
            arm: {name: fmean(value for line in found for value in line[name]) for name in names}
            for arm, found in lines.items()
            if found
        }

    def tags(self, records: Records) -> list[Mapping[str, str]]:
        """Return what the environment says in words about each instance."""
        keys = self.keys(self.arms[0])[: len(self.instances)]
        return [records.lines[key]["tags"] for key in keys]


def made_of(arms: Sequence[Arm]) -> dict[str, str]:
    """Return what each rule is made of: arm → where it comes from, and a digest of its code and of what it needs."""
    rules = {arm.name: arm.rule for arm in arms if arm.rule is not None}
    return {name: f"{rule.origin} {digest(made_with([rule.spec.module]))}" for name, rule in rules.items()}


def check_told(by: str | None, environment: str, tags: Sequence[Mapping[str, str]]) -> None:
    """Raise UserError where an environment does not say what its episodes are to be told apart by."""
    for own in tags:
        if by is not None and by not in own:
            raise UserError(
                f"The environment '{environment}' does not say '{by}' of its episodes.{did_you_mean(by, own)}",
                hint=f"It says {', '.join(sorted(own)) or 'nothing in words'}.",
            )
