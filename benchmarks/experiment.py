"""Runs of one recipe with one thing changed at a time: training what is missing, and reading what is there.

What sensitivity.py and effects.py have in common. What their tables are made of is kept in records/training.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from attrs import evolve, frozen
from record import save, saved

from esper_core.contracts.errors import EsperError
from esper_core.runs.directory import RunDirectory
from esper_evaluation.statistics import Estimate
from esper_evaluation.student import t_quantile

MIXED = Path(__file__).with_name("mixed.toml")
RECORDS = Path(__file__).with_name("records") / "training"
COMMAND = "command.txt"
"""Of a run: what it was begun with."""


class Run(NamedTuple):
    """A run, begun or not.

    Attributes:
        name: Of its folder.
        words: What `esper train` is told beside seed and folder.
        about: What is said of it while it trains; its name where nothing is.
    """

    name: str
    seed: int
    words: Sequence[str]
    about: str = ""

    @property
    def label(self) -> str:
        """Name and seed."""
        return f"{self.name}-{self.seed}"

    @property
    def command(self) -> str:
        """What trains it, as it is said from the root of the repository."""
        root = f"{MIXED.parents[1]}/"
        return shlex.join(["esper", "train", *(w.removeprefix(root) for w in self.words), "--seed", str(self.seed)])


@frozen
class Experiment:
    """Runs that are compared. What it cannot do ends the program with a sentence.

    Attributes:
        name: Of the record that is kept.
        metrics: What is kept of every update.
        folder: Where the runs lie; None where the record is read.
    """

    name: str
    metrics: tuple[str, ...]
    folder: Path | None = None

    def lines(self, run: Run) -> list[dict[str, Any]]:
        """Return the metrics of a run's updates; none where it was not begun."""
        if self.folder is None:
            known = _read(self.name).get(run.label, {"metrics": {}})["metrics"]
            return [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
        found = self.opened(run)
        return [] if found is None else list(found.metrics())

    def train(self, wanted: Iterable[Run]) -> None:
        """Train what is missing; what was begun goes on."""
        esper = str(Path(sys.executable).with_name("esper"))
        for run in wanted:
            print(f"{run.about or run.name}, seed {run.seed}", file=sys.stderr, flush=True)
            folder = self._folder(run)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / COMMAND).write_text(f"{run.command}\n", encoding="utf-8")
            own = ["--seed", str(run.seed), "--out", str(folder), "--resume", "auto"]
            shown = ["--no-tensorboard", "--plain"]
            ended = subprocess.run([esper, "train", *run.words, *own, *shown], stdout=subprocess.DEVNULL)
            if ended.returncode:
                sys.exit(ended.returncode)

    def prepare(self, said: Namespace, runs: Sequence[Run]) -> None:
        """Train what is missing, unless that is only to be read; without any run, or with another, the program ends."""
        if self.folder is not None:
            for run in runs:
                self._check_command(run)
            if not said.read:
                self.train(runs)
            for line in self.compare(runs):
                print(line, file=sys.stderr)
        if not any(map(self.lines, runs)):
            sys.exit(f"{self.name}.py: there is no run in {self.folder}; without --read they are trained.")

    def compare(self, runs: Sequence[Run]) -> Iterator[str]:
        """Yield whether runs have the numbers that are kept of them, bit for bit, run by run."""
        record = evolve(self, folder=None)
        for run in runs if _path(self.name).exists() else ():
            kept = record.lines(run)
            own = [{name: line.get(name) for name in self.metrics} for line in self.lines(run)]
            if not own or not kept:
                continue
            other = next(
                (at for at, (line, known) in enumerate(zip(own, kept, strict=False), 1) if line != known), None
            )
            said = "as recorded" if other is None else f"another than is recorded, from update {other} on"
            yield f"{run.label}: {len(own)} updates, {said}"

    def keep(self, runs: Sequence[Run]) -> Path:
        """Write the record of runs, compressed: their commands and what is read; return where."""
        record = {}
        for run in runs:
            found, lines = self.opened(run), self.lines(run)
            if found is None or len(lines) < found.plan.updates:
                sys.exit(f"{run.label} is not finished, so nothing is kept; without --read it goes on.")
            self._check_command(run)
            metrics = {name: [line.get(name) for line in lines] for name in self.metrics}
            record[run.label] = {"command": run.command, "metrics": metrics}
        return save(_path(self.name), record)

    def chosen(self, parser: ArgumentParser) -> tuple[Experiment, Namespace]:
        """Return the experiment that a command line asks for, and the rest of what it says."""
        parser.add_argument("runs", type=Path, nargs="?", help="folder of the runs; without it, the record is read")
        parser.add_argument("--read", action="store_true", help="train nothing")
        parser.add_argument("--keep", action="store_true", help="keep what the tables are made of")
        said = parser.parse_args()
        if said.runs is not None and said.runs.exists() and not said.runs.is_dir():
            parser.error(f"{said.runs} is no folder")
        if said.runs is None and said.keep:
            parser.error("--keep needs the folder where the runs lie")
        if said.keep and vars(said).get("only") != parser.get_default("only"):
            parser.error("--keep keeps all of them, so --only cannot stand beside it.")
        if said.runs is None and not _path(self.name).exists():
            parser.error(f"no record {self.name} is kept; name the folder where the runs are to lie")
        return evolve(self, folder=said.runs), said

    def _folder(self, run: Run) -> Path:
        assert self.folder is not None, "a record is only read"
        return self.folder / run.label

    def opened(self, run: Run) -> RunDirectory | None:
        """Return the last run in a folder, None where there is none."""
        paths = sorted(self._folder(run).glob("*/"))
        try:
            return RunDirectory.open(paths[-1]) if paths else None
        except EsperError as error:
            sys.exit(str(error))

    def _check_command(self, run: Run) -> None:
        """End the program where a run was begun with something else than its command."""
        told = self._folder(run) / COMMAND
        if not any(self._folder(run).glob("*")):
            return
        known = told.read_text(encoding="utf-8").strip() if told.exists() else "something that is not known"
        if known != run.command:
            sys.exit(f"{self._folder(run)} was begun with {known}, which is not {run.command}; name another folder.")


def _path(name: str) -> Path:
    return RECORDS / f"{name}.json.xz"


@cache
def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = saved(_path(name))
    return found


def over_seeds(values: Sequence[float]) -> Estimate | None:
    """Return a mean and its 95 % interval, Student's; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean, half = fmean(values), t_quantile(len(values) - 1) * stdev(values) / len(values) ** 0.5
    return Estimate(mean, mean - half, mean + half)
