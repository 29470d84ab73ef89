"""Exporting what a policy grows, from Python and for the command. Torch is imported when it plays."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from esper_core.api.installed import load_installed, use_local
from esper_core.api.planning import Slots, slots_text
from esper_core.api.training import as_run, process_left_as_found
from esper_core.contracts.errors import ConfigError
from esper_core.contracts.slots import SlotConfig
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import choose_checkpoint
from esper_core.runs.directory import RunDirectory

if TYPE_CHECKING:
    from esper_evaluation.export.grow import Result
    from esper_evaluation.export.write import Exported

MAX_INSTANCE = 2**31 - 1


def export(
    run: RunDirectory | str | Path,
    file: str | Path,
    *,
    instance: int = 0,
    at: int | str = "last",
    out: str | Path = "runs",
    device: str | None = None,
    slots: Slots = None,
    use: Mapping[str, Any] | None = None,
) -> Exported:
    """Let a trained policy grow one network and write it, as `esper export` does; see docs/reports.md.

    Nothing is printed: warnings go to the logger "esper".

    Args:
        run: A run, its path, or the beginning of its name in `out`.
        file: "grown.py", for example, which is written over only where it is an export; the weights lie beside it.
        instance: Instance of the environment on which the policy plays.
        at: Checkpoint: "last", "best" (the highest return), or the number of an update.
        out: Directory of runs, for a name.
        device: torch device instead of the run's own.
        slots: A count, or ids such as `["r0c0", "r0c2"]`, to grow in instead of those of training. The network must
            provide `network:any-slots`.
        use: Classes and objects of one's own that the run was begun with: kind → class or object.

    Raises:
        UserError: there is no such run, checkpoint or folder, or the environment has nothing to export.
        CheckpointMismatch: the checkpoint is damaged, or does not fit what is installed.
        PluginError: a component fails, or what it grew cannot be written down.
    """
    if isinstance(instance, bool) or not isinstance(instance, int) or not 0 <= instance <= MAX_INSTANCE:
        raise ConfigError(f"instance cannot be {instance!r:.80}.", hint=f"It is a whole number, 0 to {MAX_INSTANCE}.")
    use_local(use)
    index, _ = load_installed()
    found = as_run(run, out)
    _, played, exported = export_run(found, index, Path(file), instance, str(at), device, slots_text(slots))
    for note in played.notes:
        logging.getLogger("esper").warning("%s", note)
    return exported


def export_run(
    run: RunDirectory, index: Index, file: Path, instance: int, at: str, device: str | None, slots: str | None
) -> tuple[Path, Result, Exported]:
    """Return the checkpoint that has played, what came of it and what was written; raises as `export`."""
    with process_left_as_found():
        from esper_evaluation.export.grow import grow
        from esper_evaluation.export.write import export_paths, write_export

        # Components run before anything is written, and may change the working directory.
        place = file.absolute()
        export_paths(place)
        checkpoint = choose_checkpoint(run, at)
        played = grow(checkpoint, index, instance, device, None if slots is None else SlotConfig.parse(slots))
        written = write_export(played.grown, place)
    weights, source = (file.with_name(path.name) for path in (written.weights, written.source))
    return run.shown(checkpoint), played, evolve(written, weights=weights, source=source)
