"""Reporting on a run, from Python and for the command. Torch is not imported."""

from __future__ import annotations

from pathlib import Path

from esper_core.api.training import as_run
from esper_core.runs.brought import to_write
from esper_core.runs.directory import RunDirectory


def report(run: RunDirectory | str | Path, file: str | Path | None = None, *, out: str | Path = "runs") -> Path:
    """Write one HTML page about a run, as `esper report` does, and return where; see docs/reports.md.

    Args:
        run: A run, also one that still trains; its path, or the beginning of its name in `out`.
        file: Where it is written, over a report alone; `report.html` of the run without.
        out: Directory of runs, for a name.

    Raises:
        UserError: there is no such run, or `file` is something else than a report.
        EsperError: a file of the run is damaged, or the page cannot be written; one that was there before stays.
    """
    from esper_evaluation.report.page import write_report

    found = as_run(run, out)
    if file is None:
        found = to_write(found, Path(out))
    path = found.shown() / "report.html" if file is None else Path(file)
    write_report(found, path)
    return path
