"""Shards: a list of jobs shared out among machines that have nothing in common but a folder.

Whoever does a share writes one file into that folder, and goes on with it where it was left. Whoever reads them all
together finds out whether they belong together, and whether anything is missing. No torch is imported.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from attrs import define, field, frozen

from esper_core.contracts.errors import UserError
from esper_core.runs.lock import locked_by
from esper_core.system.content import differences, digest
from esper_core.system.files import make_folder, writing
from esper_core.system.json_files import append_lines, cut, read_lines
from esper_core.system.shape import structured

MOST = 100_000
SUFFIX = ".jsonl"

Job = str
Check = Callable[[Any], object]
"""Takes in what came of a job, as it was read; raises ValueError where it has another shape."""

Work = Callable[[Sequence[Job]], Iterable[tuple[Job, Any]]]
"""Does jobs, and yields each with what came of it, JSON-able."""


class Share(NamedTuple):
    """Which of how many shares, from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read `3/8`; raises UserError."""
        number, slash, of = (part.strip() for part in text.partition("/"))
        if not (slash and all(part.isascii() and part.isdecimal() and len(part) <= 6 for part in (number, of))):
            raise UserError(f"'{text}' is no shard.", hint="Write --shard 3/8 for the third of eight.")
        share = cls(int(number), int(of))
        if not 1 <= share.number <= share.of <= MOST:
            raise UserError(
                f"There is no shard {share} of {share.of}.", hint=f"They are numbered from 1; at most {MOST:,}."
            )
        return share

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def __format__(self, _: str) -> str:
        return str(self)


def divide(costs: Sequence[float], of: int) -> list[list[int]]:
    """Return the numbers of the jobs of each of `of` shares, in ascending order; some are empty where jobs are few.

    The dearest job comes first, and each goes to the share that has least to do, the first of equals: the same costs
    give the same shares everywhere.
    """
    burdens = [(0.0, number) for number in range(of)]
    shares: list[list[int]] = [[] for _ in range(of)]
    for job in sorted(range(len(costs)), key=lambda job: -costs[job]):
        burden, number = burdens[0]
        shares[number].append(job)
        heapq.heapreplace(burdens, (burden + costs[job], number))
    return [sorted(share) for share in shares]


# Files --------------------------------------------------------------------------------------------------------------


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return content as it is read back from JSON, so that the two can be compared."""
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return plain


def _anything(result: Any) -> None:
    pass


@frozen
class _Head:
    """The shape of the first line of a shard."""

    shard: tuple[int, ...] = field()
    asked: dict[str, Any]
    under: dict[str, Any]

    @shard.validator
    def _check_shard(self, _: Any, shard: tuple[int, ...]) -> None:
        if len(shard) != len(Share._fields) or not 1 <= shard[0] <= shard[1] <= MOST:
            raise ValueError("it names no shard")

    @property
    def share(self) -> Share:
        return Share(*self.shard)


@frozen
class _Done:
    """The shape of all other lines."""

    job: str
    result: Any


@define
class Shard:
    """A share that is being done.

    Attributes:
        path: Its file.
        results: What came of the jobs that are done.
    """

    path: Path
    within: Path
    results: dict[Job, Any] = field(factory=dict, repr=False)

    def add(self, results: Mapping[Job, Any]) -> None:
        """Append what came of jobs, and wait until the disk has it; raises EsperError."""
        append_lines(self.path, [{"job": job, "result": result} for job, result in results.items()], self.within)
        self.results |= results


@frozen
class ShareDone:
    """A share that is done.

    Attributes:
        new: Jobs that were done now; the others were done before.
        jobs: How many there are.
        path: Its file.
    """

    share: Share
    new: int
    jobs: int
    path: Path

    def to_json(self) -> dict[str, Any]:
        """Return it JSON-able."""
        return {"shard": str(self.share), "new": self.new, "jobs": self.jobs, "file": str(self.path)}

    def line(self, things: str) -> str:
        """Return it as a line for people, to whom jobs are `things`."""
        return f"Shard {self.share} is done: {self.jobs} {things}, {self.new} of them now, in {self.path}"


@frozen
class Merged:
    """What all shards have brought.

    Attributes:
        under: What they have in common, and only those know who have done them.
        of: How many shares there are.
        files: Number of a share → its file, for those that have begun.
        results: Job → what came of it.
    """

    under: Mapping[str, Any]
    of: int
    files: Mapping[int, Path]
    results: Mapping[Job, Any] = field(repr=False)
    foreign: Sequence[str] = ()

    def check_complete(self, shares: Iterable[Sequence[Job]]) -> None:
        """Raise UserError that names every share of whose jobs one has no result, and what to do."""
        lacking = []
        for number, jobs in enumerate(shares, start=1):
            missing = sum(job not in self.results for job in jobs)
            if missing:
                share, file = Share(number, self.of), self.files.get(number)
                unfinished = f"{share} is unfinished, {len(jobs) - missing} of {len(jobs)} are done ({file})"
                lacking.append(unfinished if file else f"{share} is missing")
        if lacking:
            raise UserError(
                " ".join((f"Not all shards are done: {'; '.join(lacking)}.", *self.foreign)),
                hint="Run the same command with --shard instead of --merge for each of these; it goes on from there.",
            )


@frozen
class Shards:
    """The shards of what was asked for, in a folder that may hold those of other commands.

    Attributes:
        folder: Where they lie.
        within: Folder in which no link is followed.
        what: What it is, in words, such as `this evaluation`.
        asked: What decides which jobs there are, JSON-able; who does a share and who merges them know the same.
    """

    folder: Path
    within: Path
    what: str
    asked: Mapping[str, Any] = field(converter=_plain)

    def path(self, share: Share) -> Path:
        """Return where a share is written."""
        return self.folder / f"{digest(self.asked)}-{share.number}-of-{share.of}{SUFFIX}"

    @contextmanager
    def doing(self, share: Share, under: Mapping[str, Any], check: Check) -> Iterator[Shard]:
        """Hold a share within, and go on with it where it was left.

        Args:
            share: Which.
            under: What its results depend on that `asked` does not say, JSON-able, and must be the same in all shares.
            check: Called with every result that is read.

        Raises:
            UserError: another process works on it, or it was begun under something else.
            DamagedFile: a line is damaged.
            EsperError: it cannot be read or written.
        """
        path, under = self.path(share), _plain(under)
        with writing(self.folder):
            make_folder(self.folder, self.within)
        with locked_by(path.with_suffix(".lock"), f"shard {share}, {path}"):
            known = _read(path, check)
            if known is None:
                cut(path, 0, self.within)
                append_lines(path, [{"shard": share, "asked": self.asked, "under": under}], self.within)
                yield Shard(path, self.within)
                return
            if changes := list(differences(known.head.under, under)):
                raise UserError(
                    f"{path} was begun under something else: {'; '.join(changes)}.",
                    hint="Go on with it where it is the same, or remove the file to begin again.",
                )
            cut(path, known.end, self.within)
            yield Shard(path, self.within, known.results)

    def merge(self, check: Check) -> Merged:
        """Read all shards.

        Args:
            check: Called with every result that is read.

        Raises:
            UserError: there are none; or several of a kind, or some that do not belong together.
            DamagedFile: a line is damaged.
            EsperError: one cannot be read.
        """
        heads = {path: _head(path) for path in sorted(self.folder.glob(f"*{SUFFIX}"))}
        read = {path: _read(path, check) for path, head in heads.items() if head and head.asked == self.asked}
        mine = {path: file for path, file in read.items() if file is not None}
        foreign = [self._foreign(path, head) for path, head in heads.items() if head and head.asked != self.asked]
        if not mine:
            raise UserError(
                " ".join((f"There are no shards of {self.what} in {self.folder}.", *foreign)),
                hint="Run the same command with --shard 1/2, and with --shard 2/2, for example.",
            )
        first, head = next((path, file.head) for path, file in mine.items())
        files: dict[int, Path] = {}
        results: dict[Job, Any] = {}
        for path, file in mine.items():
            share = file.head.share
            if share.of != head.share.of:
                raise UserError(
                    f"{first} is one of {head.share.of} shards, and {path} one of {share.of}.",
                    hint="Remove those of one kind; the others hold the whole.",
                )
            if changes := list(differences(head.under, file.head.under)):
                raise UserError(
                    f"{path} does not belong with {first}: {'; '.join(changes)}.",
                    hint="Remove one of them, and do its share again where everything is as for the other.",
                )
            if share.number in files:
                raise UserError(
                    f"Shard {share} is there twice: {files[share.number]} and {path}.",
                    hint="Remove one of them; both hold the same share.",
                )
            files[share.number] = path
            results |= file.results
        return Merged(head.under, head.share.of, files, results, foreign)

    def do(
        self, share: Share, under: Mapping[str, Any], jobs: Sequence[Job], work: Work, check: Check = _anything
    ) -> ShareDone:
        """Do a share of some jobs, all of which cost the same; go on with it where it was left.

        Args:
            share: Which.
            under: As for `doing`.
            jobs: All jobs.
            work: Does those it is given; what it yields is kept at once.
            check: Called with every result that is read.

        Raises:
            EsperError: as for `doing`, or what `work` raises.
        """
        mine = [jobs[number] for number in divide([1] * len(jobs), share.of)[share.number - 1]]
        with self.doing(share, under, check) as shard:
            left = [job for job in mine if job not in shard.results]
            for job, result in work(left):
                shard.add({job: result})
        return ShareDone(share, len(left), len(mine), shard.path)

    def results(self, jobs: Sequence[Job], check: Check = _anything) -> dict[Job, Any]:
        """Return what came of all jobs that `do` has done, in their order; raises as `merge` and `check_complete`."""
        merged = self.merge(check)
        merged.check_complete([[jobs[number] for number in share] for share in divide([1] * len(jobs), merged.of)])
        return {job: merged.results[job] for job in jobs}

    def _foreign(self, path: Path, head: _Head) -> str:
        return f"{path} is of something else: {'; '.join(differences(head.asked, self.asked))}."


class _File(NamedTuple):
    head: _Head
    results: dict[Job, Any]
    end: int


def _head(path: Path) -> _Head | None:
    """Return the first line of a shard; None before it is written."""
    line = next(read_lines(path, partial(structured, _Head)), None)
    return None if line is None else structured(_Head, line.entry)


def _read(path: Path, check: Check) -> _File | None:
    """Return what a shard holds, without a last line that a killed process left unfinished; None before its first."""
    head: list[_Head] = []
    results: dict[Job, Any] = {}

    def look(entry: dict[str, Any]) -> None:
        if not head:
            head.append(structured(_Head, entry))
            return
        done = structured(_Done, entry)
        check(done.result)
        if done.job in results and results[done.job] != done.result:
            raise ValueError(f"'{done.job}' had another result before; two processes have written this file")
        results[done.job] = done.result

    end = 0
    for line in read_lines(path, look):
        end = line.end
    return _File(head[0], results, end) if head else None
