"""Entrants: the policies that are evaluated, each a checkpoint of a run. Choosing them imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

from attrs import frozen

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import UserError
from esper_core.runs.checkpoint import choose_checkpoint, list_checkpoints
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import Header, read_header
from esper_evaluation.report.comparison import plan_differences

MAY_DIFFER = ("seed", "device", "threads", "init")
"""Settings of a plan that do not make another policy of it."""


@frozen
class Entrant:
    """A policy as a run left it.

    Attributes:
        updates: Updates that the run has done, whichever checkpoint was chosen.
        plan: What it plays with: that of its training, or the same policy with other slots, or elsewhere.
    """

    run: RunDirectory
    header: Header
    updates: int
    plan: Plan

    @property
    def seed(self) -> int:
        """Its policy seed."""
        return self.plan.seed

    @property
    def version(self) -> str:
        """A digest of its checkpoint."""
        return str(self.header.content["digest"])[:16]


def choose_entrants(
    runs: Sequence[RunDirectory], at: str, place: Callable[[Header], Plan] = attrgetter("plan")
) -> tuple[Entrant, ...]:
    """Return a checkpoint of each run: 'last', 'best', or that of an update; `place` says what each plays with.

    Raises:
        UserError: a run has no such checkpoint, two have the same seed, or they are not seeds of one policy.
        CheckpointMismatch: a checkpoint is damaged.
    """
    headers = [read_header(choose_checkpoint(run, at)) for run in runs]
    entrants = tuple(
        Entrant(run, header, int(list_checkpoints(run)[-1].name), place(header))
        for run, header in zip(runs, headers, strict=True)
    )
    rows = [row for row in plan_differences([e.plan for e in entrants]) if row.name not in MAY_DIFFER]
    if rows:
        names = ", ".join(entrant.run.name for entrant in entrants)
        differ = "; ".join(f"{row.name} is {', '.join(map(_shown, row.values))}" for row in rows)
        raise UserError(
            f"{names} are not seeds of one policy: {differ}.",
            hint="Evaluate each by itself; all play the same instances, so their tables can be compared.",
        )
    by_seed: dict[int, Entrant] = {}
    for entrant in entrants:
        other = by_seed.setdefault(entrant.seed, entrant)
        if other is not entrant:
            raise UserError(
                f"{other.run.name} and {entrant.run.name} have the same seed, {entrant.seed}.",
                hint="Several runs are policy seeds of one policy; name each seed once.",
            )
    return entrants


def training_episodes(entrants: Sequence[Entrant], horizon: int) -> int:
    """Return how many episodes of `horizon` steps a policy was trained with, where updates are parts of episodes.

    Otherwise an update collects one in every environment.
    """
    plan, updates = entrants[0].plan, max(entrant.updates for entrant in entrants)
    steps = plan.train.get("rollout_steps")
    return max(plan.envs, updates * plan.envs * steps // horizon) if steps else updates * plan.envs


def search_batches(entrants: Sequence[Entrant], episodes: int) -> int:
    """Return how many batches of episodes the search for a fixed schedule may play.

    Args:
        entrants: The policies.
        episodes: Episodes asked for.

    Raises:
        UserError: fewer are asked for than are played side by side.
    """
    envs = entrants[0].plan.envs
    if episodes < envs:
        message = f"A search of {episodes} episodes is less than one batch of {envs}."
        raise UserError(message, hint=f"Use {envs} or more.")
    return episodes // envs


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)
