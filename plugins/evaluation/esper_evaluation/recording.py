"""One held-out episode of an arm as a film."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import Rendered
from esper_core.registry.index import Index
from esper_evaluation.arms import Arm
from esper_evaluation.contest import Contest
from esper_evaluation.entrants import Entrant
from esper_evaluation.filming import filming


def film_episode(
    arm: Arm, entrants: Sequence[Entrant], index: Index, path: Path, *, device: str | None = None
) -> tuple[int, float]:
    """Write a film of an arm's episode on the first held-out instance; return its pictures, and how many a second.

    The first of several policies is filmed, and does what it did in the comparison.

    Raises:
        UserError: the environment cannot be looked at.
        EsperError: the film cannot be written, or an environment, a rule or a policy fails.
    """
    contest = Contest(entrants[:1], index, device=device, envs=1)
    owner = contest.owners["environment"]
    try:
        environment = contest.context.parts["environment"]
        if not isinstance(environment, Rendered):
            raise UserError(
                f"Episodes of the environment '{contest.name}' cannot be filmed.",
                hint="Its author can make it an esper_core.contracts.protocols.Rendered; Gymnasium's are.",
            )
        with owner.doing("making ready to be filmed"):
            pace = environment.show()
        with filming(path, pace) as film:
            count = contest.watch(arm, lambda: film.add(environment.frame()))
        return count, pace
    finally:
        contest.close(lambda _: None)
