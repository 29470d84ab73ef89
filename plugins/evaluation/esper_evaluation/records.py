"""Episodes that were played, one line of JSON each, kept so that none is played twice. No torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from attrs import define, field, frozen

from esper_core.runs.shards import Shard
from esper_core.system.content import digest
from esper_core.system.files import make_folder, replace_synced, writing
from esper_core.system.json_files import append_lines, cut, json_bytes, read_lines
from esper_core.system.shape import structured

EVALUATION = "evaluation"
"""Folder within a run."""

EPISODES_FILE, SEARCH_FILE, TRAINING_FILE = "episodes.jsonl", "search.jsonl", "training.jsonl"
ABOUT_FILE = "about.json"

Entry = dict[str, Any]


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


class Batched(NamedTuple):
    """Which batch of which search it is: of so many episodes, so many side by side."""

    episodes: int
    envs: int
    batch: int


class Drawing(NamedTuple):
    """Which training instances an arm has played: those that so many environments draw for a batch."""

    arm: str
    version: str
    envs: int
    batch: int


@frozen
class Episode:
    """The shape of a line of `episodes.jsonl`; `chosen` is the rule that the selector took."""

    arm: str
    version: str
    seed: int | None
    instance: int
    outcomes: dict[str, float]
    length: int
    ops: list[int] | None
    topology: Any
    tags: dict[str, str]
    chosen: str | None = None


@frozen
class Batch:
    """The shape of a line of `search.jsonl`; the first batches bring schedules, one per environment."""

    episodes: int
    envs: int
    batch: int
    returns: list[float]
    schedules: list[list[list[int]]] | None = None


@frozen
class Drawn:
    """The shape of a line of `training.jsonl`: what came of each environment's episode, by outcome, and of what it was.

    Of each instance `world` has the fields in the order of the environment's description.
    """

    arm: str
    version: str
    envs: int
    batch: int
    outcomes: dict[str, list[float]]
    world: list[list[float]]


SHAPES: Mapping[str, tuple[type, Callable[..., Any]]] = {
    EPISODES_FILE: (Episode, Key),
    SEARCH_FILE: (Batch, Batched),
    TRAINING_FILE: (Drawn, Drawing),
}
"""File → the shape of its lines, and what tells them apart."""

Write = Callable[[str, Sequence[Entry]], None]
"""Takes in lines, and the file of a run that they are for."""


@define
class Records:
    """What is known of episodes and of searches, and what writes down more.

    Attributes:
        lines: Episodes.
        batches: Batches of searches.
        drawings: Batches of training instances.
    """

    lines: dict[Key, Entry] = field(repr=False)
    batches: dict[Batched, Entry] = field(repr=False)
    drawings: dict[Drawing, Entry] = field(repr=False)
    write: Write = field(repr=False)

    @classmethod
    def open(cls, run: Path, about: Mapping[str, Any]) -> Records:
        """Return what a run has on record of these circumstances.

        A last line that a killed process left unfinished is cut off.

        Raises:
            DamagedFile: a line is damaged.
            EsperError: a file cannot be read or written.
        """
        folder = folder_of(run, about)
        with writing(folder, "Make the run's directory writable, or copy the run."):
            make_folder(folder, run)
            if not (folder / ABOUT_FILE).exists():
                replace_synced(folder / ABOUT_FILE, json_bytes(about, indent=2), run)
        lines, batches, drawings = (_read(folder / file, run) for file in SHAPES)
        return cls(lines, batches, drawings, lambda file, entries: append_lines(folder / file, entries, within=run))

    @classmethod
    def in_shard(cls, run: Path, about: Mapping[str, Any], shard: Shard) -> Records:
        """Return the same as far as a shard knows more, which takes in all that is written; raises as `open`."""
        known = {file: _read(folder_of(run, about) / file) for file in SHAPES}
        for result in shard.results.values():
            known[file_of(result)][_key(SHAPES[file_of(result)][1], result)] = result

        def write(file: str, entries: Sequence[Entry]) -> None:
            shard.add({job_of(_key(SHAPES[file][1], entry)): entry for entry in entries})

        lines, batches, drawings = known.values()
        return cls(lines, batches, drawings, write)

    def add(self, episodes: Mapping[Key, Entry]) -> None:
        """Write down episodes, and wait until the disk has them; raises EsperError."""
        entries = {key: {**key._asdict(), **entry} for key, entry in episodes.items()}
        self.write(EPISODES_FILE, [*entries.values()])
        self.lines |= entries

    def add_batch(self, which: Batched, line: Entry) -> None:
        """Write down a batch of a search, and wait until the disk has it; raises EsperError."""
        self.batches[which] = {**which._asdict(), **line}
        self.write(SEARCH_FILE, [self.batches[which]])

    def add_drawing(self, which: Drawing, outcomes: Mapping[str, list[float]], world: Sequence[list[float]]) -> None:
        """Write down a batch of training instances, and wait until the disk has it; raises EsperError."""
        self.drawings[which] = {**which._asdict(), "outcomes": dict(outcomes), "world": [*world]}
        self.write(TRAINING_FILE, [self.drawings[which]])

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Return those of the keys that have no line."""
        return [key for key in keys if key not in self.lines]


def folder_of(run: Path, about: Mapping[str, Any]) -> Path:
    """Return where a run has the records of some circumstances."""
    return run / EVALUATION / digest(about)


def job_of(key: Key | Batched | Drawing) -> str:
    """Return what an episode, or a batch of a search or of training instances, is called as a job of a shard."""
    return " ".join(f"{name} {value}" for name, value in key._asdict().items() if value is not None)


def check_result(result: Any) -> None:
    """Raise ValueError where what came of a job of a shard is neither an episode nor a batch."""
    structured(SHAPES[file_of(result)][0], result)


def file_of(result: Any) -> str:
    """Return the file that what came of a job of a shard belongs to."""
    if not isinstance(result, Mapping) or "batch" not in result:
        return EPISODES_FILE
    return TRAINING_FILE if "arm" in result else SEARCH_FILE


def _key(kind: Callable[..., Any], entry: Mapping[str, Any]) -> Any:
    return kind(*(entry[name] for name in kind._fields))  # type: ignore[attr-defined]


def _read(path: Path, place: Path | None = None) -> dict[Any, Entry]:
    """Return the lines of a file by key; with the run that it lies in, one without its end is cut off."""
    shape, key = SHAPES[path.name]
    lines = list(read_lines(path, partial(structured, shape)))
    if place is not None:
        cut(path, lines[-1].end if lines else 0, within=place)
    return {_key(key, line.entry): line.entry for line in lines}
