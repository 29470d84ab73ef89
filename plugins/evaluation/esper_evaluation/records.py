"""Episodes that were played, one line of JSON each, kept so that none is played twice. No torch is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attrs import define, field, frozen

from esper_core.system.json_files import append_lines, cut, read_lines
from esper_core.system.shape import structured

EPISODES_FILE, SEARCH_FILE, ABOUT_FILE = "episodes.jsonl", "search.jsonl", "about.json"


class Key(NamedTuple):
    """Which episode it is.

    Attributes:
        version: What else the arm's episodes depend on, such as the digest of a checkpoint.
        seed: Policy seed; None for an arm without a policy.
    """

    arm: str
    version: str
    seed: int | None
    instance: int


@frozen
class Episode:
    """The shape of a line of `episodes.jsonl`."""

    arm: str
    version: str
    seed: int | None
    instance: int
    outcomes: dict[str, float]
    length: int
    ops: list[int] | None
    topology: Any
    tags: dict[str, str]


@frozen
class Batch:
    """The shape of a line of `search.jsonl`; the first batches bring schedules, one per environment."""

    episodes: int
    envs: int
    batch: int
    returns: list[float]
    schedules: list[list[list[int]]] | None = None


@define
class Records:
    """The lines of a file by key.

    Attributes:
        path: The file; it need not exist.
        place: The run in which it lies.
        lines: What is known of each episode.
    """

    path: Path
    place: Path
    lines: dict[Key, dict[str, Any]] = field(factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path, place: Path) -> Records:
        """Read a file; a last line that a killed process left unfinished is cut off.

        Raises:
            DamagedFile: a line is damaged.
            EsperError: the file cannot be read or written.
        """
        entries = open_lines(path, Episode, place)
        return cls(path, place, {Key(*(entry[name] for name in Key._fields)): entry for entry in entries})

    def add(self, episodes: Mapping[Key, Mapping[str, Any]]) -> None:
        """Append episodes, and wait until the disk has them; raises EsperError."""
        entries = {key: {**key._asdict(), **entry} for key, entry in episodes.items()}
        append_lines(self.path, entries.values(), within=self.place)
        self.lines |= entries

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Return those of the keys that have no line."""
        return [key for key in keys if key not in self.lines]


def open_lines(path: Path, shape: type, place: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of a run that is to be appended to, each of a shape; one without its end is cut off.

    Raises:
        DamagedFile: a line is damaged.
        EsperError: the file cannot be read or written.
    """
    lines = list(read_lines(path, lambda entry: structured(shape, entry)))
    cut(path, lines[-1].end if lines else 0, within=place)
    return [line.entry for line in lines]
