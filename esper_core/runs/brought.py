"""Runs that distributions bring: opened where they lie, never written to. Torch is not imported."""

from __future__ import annotations

import shutil
from pathlib import Path

from esper_core.contracts.errors import UserError
from esper_core.registry.offers import offers
from esper_core.runs.checkpoint import choose_checkpoint, verify_checkpoint
from esper_core.runs.directory import RUN_FILE, RunDirectory, check_writable
from esper_core.system.files import remove_folder, rename, temporary_name, writing


def brought_runs() -> list[RunDirectory]:
    """Return the runs that installed distributions bring, by name; raises as `RunDirectory.open` and `offers`."""
    return [RunDirectory.open(offer.path, brought=offer.origin) for offer in offers().values()]


def to_write(run: RunDirectory, out: Path) -> RunDirectory:
    """Return a run beside whose files what comes of it can be kept: itself, or a copy in `out` of one that was brought.

    The copy bears the digest of its newest checkpoint in its name, so that another version of the distribution has
    another. It is complete or not there.

    Raises:
        CheckpointMismatch: a checkpoint that was brought is damaged.
        UserError, EsperError: it cannot be written.
    """
    if not run.brought:
        return run
    digest = str(verify_checkpoint(choose_checkpoint(run, "last")).content["digest"])
    path = out / f"{run.name}-{digest[:8]}"
    if not (path / RUN_FILE).exists():
        check_writable(out)
        temporary = out.absolute() / temporary_name()
        with writing(path):
            try:
                shutil.copytree(run.path, temporary)
                rename(temporary, path.absolute(), out.absolute())
            finally:
                remove_folder(temporary, out.absolute())
    return RunDirectory.open(path)


def check_own(run: RunDirectory) -> None:
    """Raise UserError for a run that was brought: nothing trains it further."""
    if run.brought:
        raise UserError(
            f"The run '{run.name}' comes with {run.brought}, and cannot be resumed.",
            hint=f"Begin a run with its weights: esper train --init {run.name}",
        )
