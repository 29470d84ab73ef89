"""Training and resuming: a run directory, checkpoints, observers, and who is shown what."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from esper_core.api.beginning import beginning_with
from esper_core.api.installed import give_local, load_installed
from esper_core.api.viewing import Callbacks
from esper_core.api.watching import Observing, View, choose_observers, observer_options
from esper_core.composition.fit import OPPONENTS, known_failures
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, check_updates
from esper_core.contracts.errors import ConfigError, EsperError, UserError
from esper_core.contracts.foreign import exhausted
from esper_core.contracts.protocols import HasCircumstances
from esper_core.contracts.sides import KeepsCheckpoints
from esper_core.registry.index import Index
from esper_core.runs.brought import check_own
from esper_core.runs.checkpoint import (
    choose_checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_init,
    save_checkpoint,
    verify_checkpoint,
)
from esper_core.runs.directory import METRICS_FILE, RUN_FILE, RunDirectory, check_writable, find_run
from esper_core.runs.header import CHECKPOINTS, STATE_FILE
from esper_core.runs.lock import locked
from esper_core.runs.observers import Observers
from esper_core.runs.resume import Resumption, find_resumption
from esper_core.system.packages import LOCAL_DISTRIBUTION

if TYPE_CHECKING:
    from esper_core.learning.session import Session
    from esper_core.learning.trainer import StepProgress, Update
    from esper_core.ranks.launch import Launch
    from esper_core.ranks.running import Leading

_logger = logging.getLogger("esper")
# What is said while training is for whoever asks the logger, and printed by nobody else.
_logger.addHandler(logging.NullHandler())

_one_at_a_time = threading.RLock()
"""Held by whoever draws random numbers: torch's streams belong to the process, so threads take turns."""

Observe = Sequence[str] | Mapping[str, Mapping[str, Any]]
"""Observers: names, or name → options."""


def train(
    plan: Plan,
    *,
    updates: int | None = None,
    out: str | Path = "runs",
    on_update: Callable[[Update], object] | None = None,
    on_step: Callable[[StepProgress], object] | None = None,
    observe: Observe = (),
    tensorboard: bool = True,
    progress: bool = True,
    init: RunDirectory | str | Path | None = None,
    at: int | str = "last",
) -> RunDirectory:
    """Train a policy, as `esper train` does, and return its run.

    A checkpoint is written after every update. Whatever ends the call, Ctrl-C included, `resume` continues from there,
    bit for bit. Runs of several threads train one after the other. The random streams and the number of threads of this
    process are left as they were. Nothing is printed and no signal handler is installed: warnings go to the logger
    "esper".

    Args:
        plan: What to train, from `plan`.
        updates: Updates of the run instead of those of the plan.
        out: Directory of runs; created when missing.
        on_update: Called with every `esper_core.learning.trainer.Update` once it is written down. What it raises ends
            the run and is raised here.
        on_step: Called with every `esper_core.learning.trainer.StepProgress`.
        observe: Installed observers that watch: names, or name → options.
        tensorboard: Write for TensorBoard where it is installed.
        progress: Draw a bar where this is a notebook.
        init: Begin with the weights of this run, whatever the plan says: a run, its path, the beginning of its name in
            `out`, or the folder of a checkpoint. `plan(init=...)` also plans as that run did.
        at: Which of its checkpoints: "last", "best", or the number of an update.

    Raises:
        CheckpointMismatch: the weights do not fit the plan; the table says where.
        UserError: `out` cannot be written, or an observer that is not installed.
        PluginError: a component fails or breaks its contract; the hint says what is kept.
        EsperError: training cannot go on; the hint says what is kept.
    """
    if not isinstance(plan, Plan):
        raise UserError(f"{plan!r:.80} is no plan.", hint='Make one: esper_core.plan("lstm-v2").')
    place = as_folder(out)
    index, observing = _prepare(observe, tensorboard)
    if updates is not None:
        plan = evolve(plan, updates=_checked(updates))
    if init is not None:
        plan = beginning_with(plan, verify_checkpoint(as_checkpoint(init, at, place)), index)
    planned = [find_planned(index, planned) for planned in plan.components]
    local = [component for component in planned if component.distribution == LOCAL_DISTRIBUTION]
    for component in local:
        _logger.warning("%s", _keeping(component.kind, component.name))
    for failure in known_failures(planned):
        _logger.warning("%s", failure)
    check_writable(place)
    return begin_run(plan, index, observing, place, Callbacks.view(on_update, on_step, bar=progress))[0]


def resume(
    run: RunDirectory | str | Path,
    *,
    updates: int | None = None,
    at: int | str | None = None,
    out: str | Path = "runs",
    device: str | None = None,
    use: Mapping[str, Any] | None = None,
    on_update: Callable[[Update], object] | None = None,
    on_step: Callable[[StepProgress], object] | None = None,
    observe: Observe = (),
    tensorboard: bool = True,
    progress: bool = True,
) -> RunDirectory:
    """Train a run to its end, as `esper train --resume` does, and return it.

    Args:
        run: The run, its path, or the beginning of its name in `out`.
        updates: Updates of the run in total; those it was planned with without. A run that is finished stays as it is.
        at: Resume from this checkpoint, and drop what came after it: "last", "best", or the number of an update.
        out: Directory of runs, for a name.
        device: torch device instead of the plan's.
        use: Classes and objects of one's own that the run was begun with: kind → class or object.
        on_update: As for `train`.
        on_step: As for `train`.
        observe: As for `train`.
        tensorboard: As for `train`.
        progress: As for `train`.

    Raises:
        CheckpointMismatch: the checkpoint is damaged, or does not fit what is installed.
        UserError: there is no such run or checkpoint, or another process trains it.
    """
    found = as_run(run, out)
    check_own(found)
    give_local(use, found.plan)
    index, observing = _prepare(observe, tensorboard)
    with locked(found.path):
        resumption = find_resumption(found, index, at=at, updates=None if updates is None else _checked(updates))
        for note in resumption.notes:
            _logger.warning("%s", note)
        view = Callbacks.view(on_update, on_step, bar=progress)
        resume_run(resumption, index, observing, view, device=device)
    return found


def as_run(run: RunDirectory | str | Path, out: str | Path = "runs") -> RunDirectory:
    """Return a run: itself, or the one at a path or of a name; raises UserError where there is none."""
    if isinstance(run, RunDirectory):
        return RunDirectory.open(run.path) if not (run.path / RUN_FILE).exists() else run
    if not isinstance(run, str | Path):
        raise UserError(f"{run!r:.80} is no run.", hint="Give a Run, its path, or the beginning of its name.")
    return find_run(str(run), as_folder(out))


def as_checkpoint(run: RunDirectory | str | Path, at: int | str, out: str | Path = "runs") -> Path:
    """Return a checkpoint: itself, where `run` is its folder, or one of a run as `as_run` takes it.

    Raises UserError where there is none.
    """
    if isinstance(run, str | Path) and Path(run).parent.name == CHECKPOINTS and (Path(run) / STATE_FILE).exists():
        return Path(run)
    return choose_checkpoint(as_run(run, out), str(at))


def as_folder(out: str | Path) -> Path:
    """Return a directory of runs; raises UserError for what can be none."""
    if not isinstance(out, str | Path) or "\0" in str(out):
        raise UserError(f"out cannot be {out!r:.80}.", hint="It is the path of a directory.")
    return Path(out)


def begin_run(
    plan: Plan, index: Index, observing: Observing, out: Path, view: View, launch: Launch | None = None
) -> tuple[RunDirectory, list[dict[str, Any]]]:
    """Train a new run, and return it with its metrics lines; raises as `train`.

    With a `launch` this is rank 0 of several processes, which train it together.
    """
    here, place = Path.cwd(), out.absolute()

    def create(trainer: Session, facts: Mapping[str, Any], stack: ExitStack) -> RunDirectory:
        if plan.init is not None:
            trainer.notes.extend(load_init(trainer, plan, index))
        parameters = sum(p.numel() for p in trainer.policy.parameters())
        run = RunDirectory.create(place, plan, index, {"parameters": parameters, **facts}, here)
        run.given = out / run.name
        stack.enter_context(locked(run.path))
        return run

    return _train(plan, index, observing, create, view, launch)


def resume_run(
    resumption: Resumption,
    index: Index,
    observing: Observing,
    view: View,
    *,
    device: str | None = None,
    launch: Launch | None = None,
) -> list[dict[str, Any]]:
    """Train a run to its end, and return its metrics lines; its lock must be held. As `resume` and `begin_run`."""
    run, plan, folder = resumption.run, resumption.plan, Path.cwd()
    if resumption.is_finished:
        lines = run.metrics()
        if not lines:
            raise EsperError(f"{run.shown(run.path / METRICS_FILE)} has no line.", hint="Restore it from a copy.")
        return lines

    def load(trainer: Session, facts: Mapping[str, Any], stack: ExitStack) -> RunDirectory:
        if resumption.header is not None:
            load_checkpoint(resumption.header.path, trainer, plan, index)
        elif plan.init is not None:
            trainer.notes.extend(load_init(trainer, plan, index))
        resumption.drop_later(index, facts, folder)
        return run

    here = plan if device is None else evolve(plan, device=device)
    return _train(here, index, observing, load, view, launch, run=run)[1]


def _train(
    plan: Plan,
    index: Index,
    observing: Observing,
    open_run: Callable[[Session, Mapping[str, Any], ExitStack], RunDirectory],
    view: View,
    launch: Launch | None = None,
    *,
    run: RunDirectory | None = None,
) -> tuple[RunDirectory, list[dict[str, Any]]]:
    warn: Callable[[str], None] = _logger.warning
    with process_left_as_found(), ExitStack() as stack:
        try:
            from esper_core.learning.session import open_training

            observers = Observers.build(observing, index)
            ranks = None if launch is None else stack.enter_context(_leading(launch, plan, index))
            trainer = open_training(plan, index) if ranks is None else ranks.open_session(plan, index)
            stack.callback(trainer.close, lambda message: warn(message))
            facts: dict[str, Any] = {
                "device": str(trainer.device),
                **({} if ranks is None else {"ranks": ranks.records}),
            }
            if isinstance(trainer.environment, HasCircumstances):
                with trainer.owners["environment"].doing("telling its circumstances"):
                    facts["environment"] = dict(trainer.environment.circumstances())
            run = open_run(trainer, facts, stack)
            lines = run.metrics()
            _tell_of_checkpoint(trainer, run)
            with view(trainer, plan, run) as viewer, observers.watching(run, viewer.warn):
                warn = viewer.warn
                for note in (*trainer.notes, *(() if ranks is None else ranks.warnings)):
                    warn(note)
                for update in trainer.run(plan.updates, on_step=viewer.on_step):
                    run.append_events(update)
                    lines.append(run.append_metrics(update))
                    save_checkpoint(run, trainer, update)
                    _tell_of_checkpoint(trainer, run)
                    observers.on_update(update)
                    viewer.on_update(update)
                    for warning in update.warnings:
                        if warning.since == update.index:
                            viewer.warn(warning.message)
        except KeyboardInterrupt as error:
            if run is not None:
                error.add_note(f"{what_is_kept(run)} To continue: esper_core.resume({str(run.path)!r})")
            raise
        except (EsperError, MemoryError, OverflowError, RuntimeError) as error:
            told = error if isinstance(error, EsperError) else exhausted(error)
            if told is not None and run is not None:
                told.hint = "\n".join(filter(None, (told.hint, what_is_kept(run))))
            if told is None or told is error:
                raise
            raise told from error
    return run, lines


def _leading(launch: Launch, plan: Plan, index: Index) -> AbstractContextManager[Leading]:
    from esper_core.ranks.running import leading

    return leading(launch, plan, index)


def _tell_of_checkpoint(trainer: Session, run: RunDirectory) -> None:
    """Tell the newest checkpoint of a run, if there is one, to opponents that want to know of it."""
    opponents: object = trainer.opponents
    checkpoints = list_checkpoints(run)
    if isinstance(opponents, KeepsCheckpoints) and checkpoints:
        with trainer.owners[OPPONENTS].doing(f"looking at {checkpoints[-1]}"):
            opponents.saved(run, checkpoints[-1])


def what_is_kept(run: RunDirectory) -> str:
    """Return a sentence about the last checkpoint of a run."""
    checkpoints = list_checkpoints(run)
    return f"The last checkpoint is {run.shown(checkpoints[-1])}." if checkpoints else "There is no checkpoint yet."


@contextmanager
def process_left_as_found() -> Iterator[None]:
    """Have the random streams and the threads of the process alone, and leave them as they were: the caller's."""
    import torch

    from esper_core.learning.randomness import ProcessStreams

    with _one_at_a_time:
        device = torch.device("cuda" if torch.cuda.is_initialized() else "cpu")
        streams, threads = ProcessStreams.now(device), torch.get_num_threads()
        try:
            yield
        finally:
            streams.resume(device)
            torch.set_num_threads(threads)


def _prepare(observe: Observe, tensorboard: bool) -> tuple[Index, Observing]:
    index, recipes = load_installed()
    return index, choose_observers(index, recipes, list(observe), observer_options(observe), tensorboard=tensorboard)


def _checked(updates: Any) -> int:
    if isinstance(updates, bool) or not isinstance(updates, int):
        raise ConfigError(f"updates cannot be {updates!r:.80}.", hint="It is a whole number.")
    check_updates(updates)
    return updates


def _keeping(kind: str, name: str) -> str:
    return (
        f"The {kind} '{name}' is no plugin's: resuming this run and loading its policy need the same class, as in "
        f"esper_core.resume(run, use={{'{kind}': ...}}). To make a plugin of it: esper plugins new {name} --kind {kind}"
    )
