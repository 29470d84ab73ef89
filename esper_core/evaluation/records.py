"""Episodes that were played, one line of JSON each, kept so that none is played twice. No torch is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attrs import define, field

from esper_core.contracts.errors import EsperError
from esper_core.runs.files import append_lines, cut, read_lines

EPISODES_FILE, SEARCH_FILE, ABOUT_FILE = "episodes.jsonl", "search.jsonl", "about.json"


class Key(NamedTuple):
    """Which episode it is.

    Attributes:
        arm: Name of the arm.
        version: What else the arm's episodes depend on, such as the digest of a checkpoint.
        seed: Policy seed; None for an arm without a policy.
        instance: Number of the instance.
    """

    arm: str
    version: str
    seed: int | None
    instance: int


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
            EsperError: a line is damaged, or the file cannot be read or written.
        """
        entries = open_lines(path, place)
        try:
            return cls(path, place, {Key(*(entry[name] for name in Key._fields)): entry for entry in entries})
        except KeyError as error:
            raise EsperError(
                f"{path} is damaged: a line has no {error}.", hint="Delete it; the episodes are played again."
            ) from error

    def add(self, episodes: Mapping[Key, Mapping[str, Any]]) -> None:
        """Append episodes, and wait until the disk has them; raises EsperError."""
        entries = {key: {**key._asdict(), **entry} for key, entry in episodes.items()}
        append_lines(self.path, entries.values(), within=self.place)
        self.lines |= entries

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Return those of the keys that have no line."""
        return [key for key in keys if key not in self.lines]


def open_lines(path: Path, place: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of a run that is to be appended to; one without its end is cut off."""
    entries = read_lines(path)
    if path.exists():
        cut(path, path.read_bytes().rfind(b"\n") + 1, within=place)
    return entries
