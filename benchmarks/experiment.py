"""Runs of one recipe with one thing changed at a time: training what is missing, and reading what is there.

What sensitivity.py and effects.py have in common. What their tables are made of is kept in records/training.
"""

from __future__ import annotations

import json
import lzma
import shlex
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from attrs import evolve, frozen

from esper_core.runs.directory import RunDirectory
from esper_evaluation.statistics import Estimate
from esper_evaluation.student import t_quantile

MIXED = Path(__file__).with_name("mixed.toml")
RECORDS = Path(__file__).with_name("records") / "training"


class Run(NamedTuple):
    """A run, begun or not.

    Attributes:
        name: Of its folder.
        words: What `esper train` is told beside seed and folder.
    """

    name: str
    seed: int
    words: Sequence[str]

    @property
    def label(self) -> str:
        """Name and seed."""
        return f"{self.name}-{self.seed}"


@frozen
class Experiment:
    """Runs that are compared.

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
        found = [RunDirectory.open(path) for path in sorted((self.folder / run.label).glob("*/"))]
        return list(found[-1].metrics()) if found else []

    def train(self, wanted: Iterable[Run]) -> None:
        """Train what is missing; what was begun goes on."""
        assert self.folder is not None
        esper = str(Path(sys.executable).with_name("esper"))
        for run in wanted:
            print(f"{run.name}, seed {run.seed}", file=sys.stderr, flush=True)
            own = ["--seed", str(run.seed), "--out", str(self.folder / run.label), "--resume", "auto"]
            shown = ["--no-tensorboard", "--plain"]
            subprocess.run([esper, "train", *run.words, *own, *shown], check=True, stdout=subprocess.DEVNULL)

    def keep(self, runs: Iterable[Run]) -> Path:
        """Write the record of the runs that are there, compressed: their commands and what is read; return where."""
        found = [(run, lines) for run in runs if (lines := self.lines(run))]
        record = {
            run.label: {
                "command": shlex.join(["esper", "train", *map(_portable, run.words), "--seed", str(run.seed)]),
                "metrics": {name: [line.get(name) for line in lines] for name in self.metrics},
            }
            for run, lines in found
        }
        path = _path(self.name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(lzma.compress(json.dumps(record).encode(), preset=9 | lzma.PRESET_EXTREME))
        return path

    def chosen(self, parser: ArgumentParser) -> tuple[Experiment, Namespace]:
        """Return the experiment that a command line asks for, and the rest of what it says."""
        parser.add_argument("runs", type=Path, nargs="?", help="folder of the runs; without it, the record is read")
        parser.add_argument("--read", action="store_true", help="train nothing")
        parser.add_argument("--keep", action="store_true", help="keep what the tables are made of")
        said = parser.parse_args()
        if said.runs is None and (said.keep or not _path(self.name).exists()):
            parser.error("name the folder where the runs are to lie")
        return evolve(self, folder=said.runs), said


def _path(name: str) -> Path:
    return RECORDS / f"{name}.json.xz"


@cache
def _read(name: str) -> dict[str, Any]:
    path = _path(name)
    if not path.exists():
        raise ValueError(f"there is no record {path}")
    found: dict[str, Any] = json.loads(lzma.decompress(path.read_bytes()))
    return found


def _portable(word: str) -> str:
    """Return a word of a command as it is said from the root of the repository."""
    return word.removeprefix(f"{MIXED.parents[1]}/")


def over_seeds(values: Sequence[float]) -> Estimate | None:
    """Return a mean and its 95 % interval, Student's; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean, half = fmean(values), t_quantile(len(values) - 1) * stdev(values) / len(values) ** 0.5
    return Estimate(mean, mean - half, mean + half)
