"""Does the policy learn? Compares first and last quarter of finished growth runs, and uniform legal play.

    esper train --policy lstm-v2 --slots 5 --seed 0
    python benchmarks/learning.py runs/lstm-v2-s5-*

`gain` is committed validation accuracy minus the static host's, one value per episode. Uniform legal play is the rule
`random` on the very instances of the last quarter. Intervals are standard errors over episodes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import torch

from esper_core.composition.build import build_beside, build_environment
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_core.runs.directory import RunDirectory


class Mean(NamedTuple):
    """A mean and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, samples: list[float]) -> Mean:
        """Return the mean of independent samples."""
        return cls(statistics.fmean(samples), statistics.stdev(samples) / len(samples) ** 0.5)

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


def quarters(run: RunDirectory) -> tuple[list[float], list[float], list[int]]:
    """Return the gains of the first and of the last quarter's episodes, and the last quarter's instances."""
    episodes = [event for event in run.events() if event["type"] == "episode"]
    updates = max(event["update"] for event in episodes)
    first = [e["gain"] for e in episodes if e["update"] <= updates // 4]
    last = [e for e in episodes if e["update"] > updates - updates // 4]
    return first, [e["gain"] for e in last], [e["instance"] for e in last]


def uniform_play(run: RunDirectory, index: Index, instances: list[int]) -> list[float]:
    """Return the gains of the rule `random` on the given instances, in a run's environment."""
    torch.set_num_threads(1)
    plan = run.plan
    context = build_environment(plan, index)
    rule = build_beside(resolve(index, "rule", "random"), index, context)
    masks, environment = context.parts["masks"], context.parts["environment"]
    generator, gains = torch.Generator().manual_seed(plan.seed), []
    for start in range(0, len(instances), plan.envs):
        state, _ = environment.reset(options={"instances": instances[start : start + plan.envs]})
        rule.reset(plan.envs)
        for _ in range(environment.horizon):
            state, _, _, _, info = environment.step(rule(state, masks(state), generator))
        gains += [event["gain"] for event in info["events"] if event["type"] == "episode"]
        print(f"uniform play: {len(gains)} of {len(instances)} episodes", file=sys.stderr)
    environment.close()
    return gains


def main() -> None:
    """Print one line per run, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run directories")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    index = load_index()
    rows = []
    for path in arguments.runs:
        run = RunDirectory.open(path)
        first_gains, last_gains, instances = quarters(run)
        first, last = Mean.of(first_gains), Mean.of(last_gains)
        uniform = Mean.of(uniform_play(run, index, instances))
        error = (first.error**2 + last.error**2) ** 0.5
        rise = (last.value - first.value) / error
        minutes = sum(line["timing"]["seconds"] for line in run.metrics()) / 60
        rows.append((run, first, last, rise, uniform, minutes))
    if arguments.json:
        document = [
            {
                "run": str(run.path),
                "seed": run.plan.seed,
                "first_quarter": first._asdict(),
                "last_quarter": last._asdict(),
                "rise_in_standard_errors": rise,
                "uniform": uniform._asdict(),
                "minutes": minutes,
            }
            for run, first, last, rise, uniform, minutes in rows
        ]
        print(json.dumps(document))
        return
    print("| seed | gain, first quarter | gain, last quarter | rise, standard errors | uniform legal play | minutes |")
    print("|---|---|---|---|---|---|")
    for run, first, last, rise, uniform, minutes in rows:
        print(f"| {run.plan.seed} | {first} | {last} | {rise:.1f} | {uniform} | {minutes:.1f} |")


if __name__ == "__main__":
    main()
