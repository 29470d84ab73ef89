"""Which held-out instances have ever been looked at, by whom: a file beside the runs. No torch is imported."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from attrs import asdict, frozen

from esper_core.contracts.errors import UserError
from esper_core.runs.directory import RunDirectory
from esper_core.runs.lock import locked_by
from esper_core.system.json_files import append_lines, cut, read_lines
from esper_core.system.shape import structured

LOOKED_FILE, LOCK_FILE = "looked-at.jsonl", ".looked-at.lock"

IQM, PAIRED = "iqm", "paired-mean"
PRIMARIES = (IQM, PAIRED)
"""What may decide: the difference of the IQMs, or the mean of the differences, kind by kind."""

_NAMED = 3
"""Earlier looks that an error names at most."""


@frozen
class Look:
    """An evaluation that was begun; the shape of a line of the file.

    Attributes:
        at: When, ISO 8601 in UTC.
        environment: `distribution:name`. What its options are does not matter: with others it is the same data.
        first, count: The instances, counted among those that the environment holds out, from 0 on.
        runs: Runs whose policies played.
        policies: Digests of their checkpoints.
        slots: Slots that they played with.
        arms: Who took part.
        primary: What decides, one of PRIMARIES.
        fresh: It was asked for instances that nobody had looked at.
        again: It was told to take them although somebody had.
    """

    at: str
    environment: str
    first: int
    count: int
    runs: list[str]
    policies: list[str]
    slots: list[str]
    arms: list[str]
    primary: str
    fresh: bool
    again: bool

    @property
    def end(self) -> int:
        """The first instance after these."""
        return self.first + self.count

    def is_same(self, other: Look) -> bool:
        """Return whether another evaluation sees the same and nothing else."""
        told = ("environment", "first", "count", "policies", "slots", "arms", "primary")
        return all(getattr(self, name) == getattr(other, name) for name in told)

    def overlaps(self, other: Look) -> bool:
        """Return whether both looked at some instance."""
        return self.environment == other.environment and self.first < other.end and other.first < self.end

    def __str__(self) -> str:
        arms = ", ".join(self.arms[:_NAMED]) + ", …" * (len(self.arms) > _NAMED)
        return f"{shown(self.first, self.count)} on {self.at[:10]} by {', '.join(self.runs)} ({arms}; {self.primary})"


def look_at(run: RunDirectory, look: Look) -> None:
    """Put on record that instances are looked at, before any is played; once, however often that is done.

    The record is the nearest `looked-at.jsonl` in the folder of the run or above, so that a project can keep one in its
    repository; where there is none, it begins beside the run.

    Raises:
        UserError: the instances are to be fresh and are not, and nobody insists.
        DamagedFile: the file is damaged.
        EsperError: it cannot be written.
    """
    places = run.path.parent, *run.path.parent.parents
    path = next((place / LOOKED_FILE for place in places if (place / LOOKED_FILE).is_file()), places[0] / LOOKED_FILE)
    # Shards begin at once, on several machines.
    with locked_by(path.with_name(LOCK_FILE), f"the record {path}", wait=True):
        _record(path, look)


def _record(path: Path, look: Look) -> None:
    lines = list(read_lines(path, partial(structured, Look)))
    looks = [structured(Look, line.entry) for line in lines]
    if any(look.is_same(other) for other in looks):
        return
    before = [other for other in looks if look.overlaps(other)]
    if look.fresh and before and not look.again:
        more = f"; and {len(before) - _NAMED} more" if len(before) > _NAMED else ""
        free = max(other.end for other in looks if other.environment == look.environment)
        raise UserError(
            f"Held-out instances {shown(look.first, look.count)} of {look.environment} are not fresh. Looked at were "
            f"{'; '.join(map(str, before[:_NAMED]))}{more}.",
            hint=f"From --fresh {free} on nobody has looked, says {path}. To look again: --again, which is recorded.",
        )
    cut(path, lines[-1].end if lines else 0, within=path.parent)
    append_lines(path, [asdict(look)], within=path.parent)


def shown(first: int, count: int) -> str:
    """Return a range of instances in words."""
    return f"{first:,} to {first + count - 1:,}"


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def without_record(paths: Sequence[str]) -> list[str]:
    """Return paths without that of a record, which lies beside the runs: a shell's `runs/*` means the runs."""
    return [path for path in paths if Path(path).name != LOOKED_FILE]


def names_of(runs: Sequence[RunDirectory]) -> list[str]:
    """Return what runs are called in the record: their names, since folders are moved."""
    return [run.name for run in runs]
