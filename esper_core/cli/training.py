"""Training as a command does it: a run directory, checkpoints, observers, progress, and what is said when it stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from esper_core.cli.output import say, warn
from esper_core.cli.progress import follow
from esper_core.cli.stopping import stopping_promptly
from esper_core.composition.plan import Plan
from esper_core.contracts.errors import EsperError, Interrupted, Terminated
from esper_core.contracts.foreign import close_safely, exhausted
from esper_core.registry.index import Component, Index
from esper_core.runs.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from esper_core.runs.directory import METRICS_FILE, RunDirectory
from esper_core.runs.lock import locked
from esper_core.runs.observers import Observers

if TYPE_CHECKING:
    from esper_core.learning.trainer import Trainer
    from esper_core.runs.resume import Resumption

Lines = list[dict[str, Any]]
Watching = Sequence[tuple[Component, Any]]
Open = Callable[["Trainer", ExitStack], RunDirectory]


def begin_run(plan: Plan, index: Index, watching: Watching, out: Path, *, plain: bool) -> tuple[RunDirectory, Lines]:
    """Train a new run, and return it with its metrics lines; raises as `resume_run`."""
    here, place = Path.cwd(), out.absolute()

    def create(trainer: Trainer, stack: ExitStack) -> RunDirectory:
        parameters = sum(p.numel() for p in trainer.policy.parameters())
        run = RunDirectory.create(place, plan, index, {"parameters": parameters, "device": str(trainer.device)}, here)
        run.given = out / run.name
        stack.enter_context(locked(run.path))
        return run

    return _train(plan, index, watching, create, plain=plain)


def resume_run(resumption: Resumption, index: Index, watching: Watching, *, device: str | None, plain: bool) -> Lines:
    """Train a run to its end, and return its metrics lines; its lock must be held.

    Raises:
        Interrupted: SIGINT or SIGTERM arrived; the update in flight is lost, the message says what is kept.
        EsperError: training cannot go on; the hint says what is kept.
    """
    run, plan, folder = resumption.run, resumption.plan, Path.cwd()
    for note in resumption.notes:
        warn(note)
    if resumption.is_finished:
        more = f"esper train --resume {run.shown()} --updates {2 * plan.updates}"
        say(f"The run is finished: all {plan.updates} updates are done. For more: {more}", err=True)
        lines = run.metrics()
        if not lines:
            raise EsperError(f"{run.shown(run.path / METRICS_FILE)} has no line.", hint="Restore it from a copy.")
        return lines
    going_on = f"going on after update {resumption.update} of {plan.updates}"
    say(going_on if resumption.header else "No update of this run was finished; it begins again.", err=True)

    def load(trainer: Trainer, stack: ExitStack) -> RunDirectory:
        if resumption.header is not None:
            load_checkpoint(resumption.header.path, trainer, plan, index)
        resumption.drop_later(index, str(trainer.device), folder)
        return run

    here = plan if device is None else evolve(plan, device=device)
    return _train(here, index, watching, load, plain=plain, run=run)[1]


def _train(
    plan: Plan, index: Index, watching: Watching, open_run: Open, *, plain: bool, run: RunDirectory | None = None
) -> tuple[RunDirectory, Lines]:
    with stopping_promptly(lambda: str(_stopped(run, plan))), ExitStack() as stack:
        try:
            from esper_core.learning.session import open_session

            observers = Observers.build(watching, index)
            trainer = open_session(plan, index)
            environment = trainer.environment
            stack.callback(close_safely, trainer.owners["environment"], environment.close, warn)
            run = open_run(trainer, stack)
            lines = run.metrics()
            with follow(trainer, plan, run.words, plain=plain) as progress, observers.watching(run, progress.warn):
                for update in trainer.run(plan.updates, on_step=progress.on_step):
                    run.append_events(update)
                    lines.append(run.append_metrics(update))
                    save_checkpoint(run, trainer, update)
                    observers.on_update(update)
                    progress.on_update(update)
                    for warning in update.warnings:
                        if warning.since == update.index:
                            progress.warn(warning.message)
        except (KeyboardInterrupt, Terminated) as error:
            stopped = _stopped(run, plan)
            stopped.exit_code = getattr(error, "exit_code", stopped.exit_code)
            raise stopped from error
        except (EsperError, MemoryError, OverflowError, RuntimeError) as error:
            told = error if isinstance(error, EsperError) else exhausted(error)
            if told is not None and run is not None:
                told.hint = "\n".join(filter(None, (told.hint, _kept(run))))
            if told is None or told is error:
                raise
            raise told from error
    return run, lines


def _stopped(run: RunDirectory | None, plan: Plan) -> Interrupted:
    if run is None:
        return Interrupted("Stopped before the first update; nothing was written.")
    checkpoints = list_checkpoints(run)
    update = int(checkpoints[-1].name) + 1 if checkpoints else 1
    where = f"in update {update} of {plan.updates}" if update <= plan.updates else "after the last update"
    return Interrupted(f"Stopped {where}. {_kept(run)}", hint=f"Continue it: esper train --resume {run.shown()}")


def _kept(run: RunDirectory) -> str:
    checkpoints = list_checkpoints(run)
    return f"The last checkpoint is {run.shown(checkpoints[-1])}." if checkpoints else "There is no checkpoint yet."
