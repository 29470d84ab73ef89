"""Training as a command does it: what is shown while it goes on, and what is said when it is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esper_core.api.training import begin_run, resume_run, what_is_kept
from esper_core.api.watching import Observing, View, Viewer
from esper_core.cli.output import say, warn
from esper_core.cli.progress import follow
from esper_core.cli.stopping import stopping_promptly
from esper_core.composition.plan import Plan
from esper_core.contracts.errors import Interrupted, Terminated
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import list_checkpoints
from esper_core.runs.directory import RunDirectory
from esper_core.runs.resume import Resumption

if TYPE_CHECKING:
    from esper_core.learning.session import Session
    from esper_core.ranks.launch import Launch


def begin(
    plan: Plan, index: Index, observing: Observing, out: Path, *, plain: bool, launch: Launch | None = None
) -> tuple[RunDirectory, Any]:
    """Train a new run, and return it with its metrics lines; raises as `resume`."""
    with _stoppable(plan, plain=plain) as view:
        return begin_run(plan, index, observing, out, view, launch)


def resume(
    resumption: Resumption,
    index: Index,
    observing: Observing,
    *,
    device: str | None,
    plain: bool,
    launch: Launch | None = None,
) -> Any:
    """Train a run to its end, and return its metrics lines; its lock must be held. `launch` is as for `begin_run`.

    Raises:
        Interrupted: SIGINT or SIGTERM arrived; the update in flight is lost, the message says what is kept.
        EsperError: training cannot go on; the hint says what is kept.
    """
    run, plan = resumption.run, resumption.plan
    for note in resumption.notes:
        warn(note)
    if resumption.is_finished:
        more = f"esper train --resume {run.shown()} --updates {2 * plan.updates}"
        say(f"The run is finished: all {plan.updates} updates are done. For more: {more}", err=True)
    elif resumption.header is not None:
        say(f"going on after update {resumption.update} of {plan.updates}", err=True)
    else:
        say("No update of this run was finished; it begins again.", err=True)
    with _stoppable(plan, plain=plain, run=run) as view:
        return resume_run(resumption, index, observing, view, device=device, launch=launch)


@contextmanager
def _stoppable(plan: Plan, *, plain: bool, run: RunDirectory | None = None) -> Iterator[View]:
    """Raise Interrupted, saying what is kept, when the process is asked to stop within; yield what shows the run."""

    def view(trainer: Session, plan: Plan, begun: RunDirectory) -> AbstractContextManager[Viewer]:
        nonlocal run
        run = begun
        return follow(trainer, plan, run.words, plain=plain)

    with stopping_promptly(lambda: str(_stopped(run, plan))):
        try:
            yield view
        except (KeyboardInterrupt, Terminated) as error:
            stopped = _stopped(run, plan)
            stopped.exit_code = getattr(error, "exit_code", stopped.exit_code)
            raise stopped from error


def _stopped(run: RunDirectory | None, plan: Plan) -> Interrupted:
    if run is None:
        return Interrupted("Stopped before the first update; nothing was written.")
    checkpoints = list_checkpoints(run)
    update = int(checkpoints[-1].name) + 1 if checkpoints else 1
    where = f"in update {update} of {plan.updates}" if update <= plan.updates else "after the last update"
    return Interrupted(f"Stopped {where}. {what_is_kept(run)}", hint=f"Continue it: esper train --resume {run.shown()}")
