"""Runs of one recipe with one thing changed at a time: training what is missing, and reading what is there.

What sensitivity.py and effects.py have in common.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from esper_core.runs.directory import RunDirectory
from esper_evaluation.statistics import Estimate
from esper_evaluation.student import t_quantile

MIXED = Path(__file__).with_name("mixed.toml")


class Run(NamedTuple):
    """A run, begun or not.

    Attributes:
        name: Of its folder.
        words: What `esper train` is told beside seed and folder.
    """

    name: str
    seed: int
    words: Sequence[str]

    def folder(self, runs: Path) -> Path:
        """Return where it lies."""
        return runs / f"{self.name}-{self.seed}"

    def metrics(self, runs: Path) -> list[dict[str, Any]]:
        """Return the metrics of its updates; none where it was not begun."""
        found = [RunDirectory.open(path) for path in sorted(self.folder(runs).glob("*/"))]
        return list(found[-1].metrics()) if found else []


def train(runs: Path, wanted: Iterable[Run]) -> None:
    """Train what is missing; what was begun goes on."""
    esper = str(Path(sys.executable).with_name("esper"))
    for run in wanted:
        print(f"{run.name}, seed {run.seed}", file=sys.stderr, flush=True)
        own = ["--seed", str(run.seed), "--out", str(run.folder(runs)), "--resume", "auto"]
        shown = ["--no-tensorboard", "--plain"]
        subprocess.run([esper, "train", *run.words, *own, *shown], check=True, stdout=subprocess.DEVNULL)


def over_seeds(values: Sequence[float]) -> Estimate | None:
    """Return a mean and its 95 % interval, Student's; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean, half = fmean(values), t_quantile(len(values) - 1) * stdev(values) / len(values) ** 0.5
    return Estimate(mean, mean - half, mean + half)
