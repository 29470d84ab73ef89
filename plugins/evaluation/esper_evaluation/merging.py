"""The shards of an evaluation: what decides them, and how they become the records of a run. No torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from esper_core.contracts.plain import to_exact
from esper_core.runs.shards import Shards
from esper_core.system.shape import shaped
from esper_evaluation.arms import FIXED, Arm
from esper_evaluation.entrants import Entrant
from esper_evaluation.looked import Look
from esper_evaluation.programme import Played, Programme, check_told
from esper_evaluation.records import EVALUATION, Records, check_result, folder_of, job_of
from esper_evaluation.search import Search

if TYPE_CHECKING:
    from esper_core.composition.plan import PlanDescription

SHARDS = "shards"
"""Folder within those of a run's evaluations."""


@frozen
class _Under:
    """What only those know who have played: circumstances, numbers of instances, and what each rule is made of."""

    about: dict[str, Any]
    instances: list[int]
    rules: dict[str, str]


def shards_of(entrants: Sequence[Entrant], arms: Sequence[Arm], look: Look, search: Search) -> Shards:
    """Return the shards of an evaluation, which lie in the folder of its first run."""
    run = entrants[0].run
    searched = any(arm.name == FIXED for arm in arms)
    return Shards(
        run.shown(run.path / EVALUATION / SHARDS),
        run.shown(),
        "this evaluation",
        {
            "checkpoints": {str(entrant.seed): entrant.version for entrant in entrants},
            "slots": list(entrants[0].plan.slots),
            "where": {c.key: to_exact(c.config) for c in entrants[0].plan.components},
            "arms": [arm.name for arm in arms],
            "instances": look.count,
            "search_episodes": search.episodes if searched else None,
            "first": look.first,
            "primary": look.primary,
        },
    )


def merge(
    shards: Shards,
    entrants: Sequence[Entrant],
    arms: Sequence[Arm],
    search: Search,
    known: PlanDescription,
    by: str | None,
    draws: int = 0,
) -> Played:
    """Put what all shards have brought on record, as if it had been played in one process.

    Args:
        shards: Where they lie.
        entrants: The policies.
        arms: Who takes part.
        search: The search for `best-fixed`.
        known: Description of the plan.
        by: What the environment has to say in words about every episode.
        draws: Batches of training instances that rules play.

    Raises:
        UserError: shards are missing, unfinished, or do not belong together; or episodes do not say `by`.
        DamagedFile: a line of a shard or of the records is damaged.
        EsperError: the records cannot be written.
    """
    merged = shards.merge(check_result)
    under = shaped(_Under, merged.under, str(next(iter(merged.files.values()))))
    run, plan = entrants[0].run.path, entrants[0].plan
    checkpoints = {entrant.seed: entrant.version for entrant in entrants}
    programme = Programme.whole(arms, checkpoints, under.rules, search, under.instances, draws)
    records = Records.open(run, under.about)
    merged.check_complete([share.jobs(records) for share in programme.shares(merged.of, max(1, len(known.sides)))])
    check_told(by, plan.component("environment").name, [line["tags"] for line in records.lines.values()])
    missing = programme.missing(records)
    for phase in programme.phases():
        lines = {key: merged.results[job_of(key)] for _, key in phase if key not in records.lines}
        check_told(by, plan.component("environment").name, [line["tags"] for line in lines.values()])
        if lines:
            records.add(lines)
    for which in programme.batches():
        if which not in records.batches:
            records.add_batch(which, merged.results[job_of(which)])
    for drawing in programme.undrawn(records):
        drawn = merged.results[job_of(drawing)]
        records.add_drawing(drawing, drawn["outcomes"], drawn["world"])
    found = None
    if programme.scheduled:
        batches = programme.searched(records)
        found = programme.search.run(batches, lambda batch, chosen: batches[batch])
    selector = programme.selector(records, known.world, known.outcomes[0])
    return programme.played(records, known.outcomes, found, selector, missing, folder_of(run, under.about))
