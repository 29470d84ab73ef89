"""The files of a run: the shape of what it wrote, checked once where it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import Factory, frozen

from esper_core.contracts.errors import CheckpointMismatch, DamagedFile
from esper_core.runs.provenance import core_advice
from esper_core.runs.words import Words
from esper_core.system.json_files import read_json
from esper_core.system.shape import structured

RESERVED = ("update", "environment_steps", "timing", "warnings")
"""Keys of a metrics line that are not metrics."""


@contextmanager
def reading(path: Path, hint: str) -> Iterator[None]:
    """Report whatever is wrong with a file as a CheckpointMismatch that names it and says what to do."""
    try:
        yield
    except OSError as error:
        raise CheckpointMismatch(f"{path} cannot be read: {error.strerror or error}.", hint=hint) from error
    except CheckpointMismatch as error:
        if not error.message.startswith(str(path)):
            error.message = f"{path}: {error.message}"
        error.hint = error.hint or hint
        raise


def read_record(file: Path, schema: int, hint: str) -> dict[str, Any]:
    """Return the table that a file of a run holds; raises CheckpointMismatch."""
    with reading(file, hint):
        content = read_json(file)
    if not isinstance(content, dict) or "schema" not in content:
        raise DamagedFile(f"{file} was not written by esper.", hint=hint)
    if content["schema"] != schema:
        said = f"{file} has schema {content['schema']!r}; this version of esper-core reads {schema}."
        raise CheckpointMismatch(said, hint=core_advice(content))
    return content


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
    if not 0 <= event.env < envs:
        raise ValueError(f"there is no environment {event.env} of {envs}")
    if horizon is not None and not 0 <= event.step <= horizon:
        raise ValueError(f"there is no step {event.step} of {horizon}")


@frozen
class AnyLine:
    """What every line of a run says."""

    update: int


@frozen
class _Timing:
    seconds: float
    steps_per_second: float | None = None
    phases: dict[str, float] = Factory(dict)


@frozen
class _RaisedWarning:
    threshold: str
    metric: str
    message: str
    since: int


@frozen
class _MetricsLine(AnyLine):
    timing: _Timing
    environment_steps: int
    warnings: list[_RaisedWarning] = Factory(list)


@frozen
class _Event(AnyLine):
    type: str
    env: int
    step: int


@frozen
class _Distribution:
    version: str
    source: str


@frozen
class RunRecord:
    """`run.json`; a run of which only a part is left can still be shown."""

    schema: int
    created: str
    plan: dict[str, Any]
    feature_schema: dict[str, Any] | None = None
    actions: dict[str, Any] | None = None
    any_slots: bool = False
    horizon: int | None = None
    rows: int = 1
    weights_versions: dict[str, int] = Factory(dict)
    distributions: dict[str, _Distribution] = Factory(dict)
    git: dict[str, Any] | None = None
    machine: dict[str, Any] = Factory(dict)
    libraries: dict[str, str] = Factory(dict)
    parameters: int | None = None
    device: str | None = None
    resumed: list[dict[str, Any]] = Factory(list)
    words: Words = Factory(Words)
