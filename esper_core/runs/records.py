"""The files of a run: the shape of what it wrote, checked once where it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import Factory, field, frozen
from attrs.validators import ge, gt, le, optional

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import CheckpointMismatch, DamagedFile
from esper_core.runs.provenance import core_command
from esper_core.runs.words import Words
from esper_core.system.json_files import read_json
from esper_core.system.shape import shaped, structured

MOST = 2**63 - 1
"""Largest count."""

RESERVED = ("update", "environment_steps", "timing", "warnings")
"""Keys of a metrics line that are not metrics."""

LONGEST = 1e12
"""Seconds that an update can have taken at most."""

MOST_BYTES = 2**28
"""Bytes of a record at most."""


def _count(least: int = 0) -> Any:
    return field(validator=[ge(least), le(MOST)], kw_only=True)


def read_record(file: Path, schema: int, hint: str) -> dict[str, Any]:
    """Return the table that a file of a run holds.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        CheckpointMismatch: it is damaged, foreign or of another schema, or cannot be read.
    """
    try:
        content = read_json(file, MOST_BYTES)
    except DamagedFile as error:
        error.hint = hint
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise CheckpointMismatch(f"{file} cannot be read: {error.strerror or error}.", hint=hint) from error
    if not isinstance(content, dict) or "schema" not in content:
        raise DamagedFile(f"{file} was not written by esper.", hint=hint)
    if content["schema"] != schema:
        raise CheckpointMismatch(
            f"{file} has schema {content['schema']!r}; this version of esper-core reads {schema}.",
            hint=f"Use the version of esper-core that wrote it: {core_command(content)}",
        )
    return content


def check_record(kind: type[RunRecord | SavedState], content: dict[str, Any], file: Path, hint: str) -> None:
    """Check that a record has its shape and that its plan can be read; raises CheckpointMismatch."""
    known = shaped(kind, content, str(file), hint=hint)
    with naming(file, hint):
        Plan.from_json(known.plan)


def check_line(entry: dict[str, Any]) -> None:
    """Raise ValueError where a line does not say of which update it is."""
    if not isinstance(entry.get("update"), int):
        raise ValueError("it has no update")


def check_metrics(entry: dict[str, Any], last: int) -> None:
    """Raise ValueError where a line of metrics has another shape, or does not follow update `last`."""
    structured(_MetricsLine, entry)
    if entry["update"] <= last:
        raise ValueError(f"update {entry['update']} comes after update {last}")
    for name, value in entry.items():
        if name not in RESERVED and (not isinstance(value, int | float | None) or isinstance(value, bool)):
            raise ValueError(f"'{name}' is not a number")


def check_event(entry: dict[str, Any], envs: int, horizon: int | None) -> None:
    """Raise ValueError for an event of another shape, or beyond the environments or steps of its run."""
    event = structured(_Event, entry)
    if event.env >= envs:
        raise ValueError(f"there is no environment {event.env} of {envs}")
    if horizon is not None and event.step > horizon:
        raise ValueError(f"there is no step {event.step} of {horizon}")


@contextmanager
def naming(path: Path, hint: str) -> Iterator[None]:
    """Name a file in the messages about what it holds, which know nothing of files, and say what to do."""
    try:
        yield
    except CheckpointMismatch as error:
        error.message, error.hint = f"{path}: {error.message}", error.hint or hint
        raise


@frozen
class _Distribution:
    version: str
    source: str


@frozen
class _Git:
    commit: str
    changed: bool


@frozen
class _Schema:
    digest: str
    dim: int


@frozen
class _Actions:
    digest: str
    heads: dict[str, int]


@frozen
class _Note:
    update: int = _count()
    distributions: dict[str, _Distribution] = Factory(dict)
    libraries: dict[str, str] = Factory(dict)


@frozen
class RunRecord:
    """`run.json`; a run of which only a part is left can still be shown."""

    schema: int
    created: str
    plan: dict[str, Any]
    feature_schema: _Schema | None = None
    actions: _Actions | None = None
    horizon: int | None = field(default=None, validator=optional([gt(0), le(MOST)]))
    weights_versions: dict[str, int] = Factory(dict)
    distributions: dict[str, _Distribution] = Factory(dict)
    git: _Git | None = None
    machine: dict[str, Any] = Factory(dict)
    libraries: dict[str, str] = Factory(dict)
    parameters: int | None = None
    device: str | None = None
    resumed: list[_Note] = Factory(list)
    words: Words = Factory(Words)


@frozen
class _Timing:
    seconds: float = field(validator=[ge(0.0), le(LONGEST)])
    steps_per_second: float | None = None
    phases: dict[str, float] = Factory(dict)


@frozen
class _RaisedWarning:
    threshold: str
    metric: str
    message: str
    since: int = _count()


@frozen
class _MetricsLine:
    timing: _Timing
    update: int = _count(1)
    environment_steps: int = _count()
    warnings: list[_RaisedWarning] = Factory(list)


@frozen
class _Event:
    type: str
    update: int = _count(1)
    env: int = _count()
    step: int = _count()


@frozen
class _SavedFile:
    sha256: str
    bytes: int = _count()


@frozen
class _Counters:
    parts: dict[str, dict[str, Any]]


@frozen
class SavedState:
    """`state.json` of a checkpoint."""

    best_by: dict[str, float | None]
    counters: _Counters
    plan: dict[str, Any]
    feature_schema: _Schema
    actions: _Actions
    weights_versions: dict[str, int]
    distributions: dict[str, _Distribution]
    libraries: dict[str, str]
    files: dict[str, _SavedFile]
    update: int = _count()
    environment_steps: int = _count()
