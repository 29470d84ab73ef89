"""Resuming a run: from which checkpoint, with which plan, and what is dropped. Torch is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from esper_core.composition.plan import Plan, check_updates
from esper_core.contracts.errors import CheckpointMismatch, ConfigError, DamagedFile, EsperError
from esper_core.runs.checkpoint import choose_checkpoint, list_checkpoints, remove_later, verify_checkpoint
from esper_core.runs.compatibility import check_fit
from esper_core.runs.directory import METRICS_FILE, RESTORE, RUN_FILE, RunDirectory, list_runs
from esper_core.runs.header import Header

if TYPE_CHECKING:
    from pathlib import Path

    from esper_core.registry.index import Index

RECORDED = ("feature_schema", "actions", "weights_versions", "distributions", "libraries")
"""Entries of `run.json` that are written into every checkpoint."""


OPTIMISER = "optimiser.safetensors"
"""File of a checkpoint that only learning needs."""


@frozen
class Resumption:
    """From where a run is resumed: its `plan` has the number of updates it now has in total.

    `header` is that of the checkpoint, verified; None where no update was finished. `notes` are differences that do not
    matter enough to refuse.
    """

    run: RunDirectory
    plan: Plan
    header: Header | None
    notes: tuple[str, ...]

    @property
    def update(self) -> int:
        """Updates done."""
        return 0 if self.header is None else self.header.update

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.update >= self.plan.updates

    def drop_later(self, index: Index, facts: Mapping[str, Any], here: Path | None = None) -> None:
        """Drop every checkpoint and line of updates after this one; as `RunDirectory.resume` otherwise."""
        self.run.lengths_up_to(self.update)  # a damaged line is found out before anything is dropped
        remove_later(self.run, self.update)
        self.run.resume(self.update, self.plan, index, facts, here)


def find_resumption(run: RunDirectory, index: Index, *, at: int | str | None, updates: int | None) -> Resumption:
    """Choose and verify the checkpoint from which a run is resumed: the newest, or `at`: "last", "best" or an update.

    `updates` are those of the run in total; None for what it was planned with.

    Raises:
        CheckpointMismatch: the checkpoint is damaged, or does not fit the run or what is installed. None is skipped:
            the hint names the newest that is good.
        UserError: there is no checkpoint of that update, or fewer updates are asked for than are done.
    """
    absent = [key for key in RECORDED if run.record.get(key) is None]
    if absent:
        raise DamagedFile(f"{run.path / RUN_FILE} is damaged: '{absent[0]}' is missing.", hint=RESTORE)
    plan = run.plan
    path = _choose(run, at)
    header = None if path is None else _verified(run, path)
    if header is not None and OPTIMISER not in header.content["files"]:
        raise CheckpointMismatch(
            f"{header.path} has what a policy acts with, but no {OPTIMISER}, with which learning would go on.",
            hint=f"Begin a run with its weights: esper train --init {run.path}",
        )
    if header is not None and evolve(header.plan, updates=plan.updates) != plan:
        raise CheckpointMismatch(
            f"{run.path / 'run.json'} was changed: its plan is not that of {header.path}.",
            hint="A run keeps its plan. Undo the change, or begin a new run.",
        )
    notes = () if header is None else check_fit(header, plan, index)
    done = 0 if header is None else header.update
    if updates is not None:
        if updates < max(done, 1):
            said = f"--updates is the total of the run and cannot be {updates}: {done} are done."
            raise ConfigError(said, hint="Leave it out, or name a larger one.")
        check_updates(updates)
        plan = evolve(plan, updates=updates)
    return Resumption(run, plan, header, notes)


def find_fitting(out: Path, plan: Plan) -> RunDirectory | None:
    """Return the newest run in a folder whose plan is this one but for the number of updates; None without one.

    What cannot be read is none.
    """
    fitting = (run for run in reversed(list_runs(out)[0]) if evolve(run.plan, updates=plan.updates) == plan)
    return next(fitting, None)


def _choose(run: RunDirectory, at: int | str | None) -> Path | None:
    if at is not None or list_checkpoints(run):
        return choose_checkpoint(run, "last" if at is None else str(at))
    # Before the first checkpoint one line may have been written; more were followed by checkpoints that are gone.
    done = len(run.metrics())
    if done > 1:
        raise CheckpointMismatch(
            f"{run.checkpoints} has no checkpoint, although {METRICS_FILE} has {done} updates.",
            hint="Restore the checkpoints from a copy, or begin a new run.",
        )
    return None


def _verified(run: RunDirectory, path: Path) -> Header:
    try:
        return verify_checkpoint(path)
    except CheckpointMismatch as error:
        error.hint = "No other checkpoint of the run is good; begin a new one."
        for other in list_checkpoints(run):
            with suppress(EsperError):
                good = verify_checkpoint(other).update
                command = f"esper train --resume {run.path} --at {good}"
                error.hint = f"The newest good one is that of update {good}: {command}"
        raise
