"""How learning went, quarter by quarter: the mean over runs of one policy, and what updates cost.

    python benchmarks/curves.py runs/lstm-v2-* runs/lstm-v1-*

`return` to `boost` are metrics of docs/metrics.md, averaged over the updates of a quarter and over runs; in brackets
the least and the largest run. `learning` is the seconds per update that policy and gradient steps took, `all` those of
the whole update, hosts included.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from esper_core.runs.directory import RunDirectory

QUARTERS = 4
METRICS = {
    "return": "return",
    "gain": "gain",
    "explained variance": "explained_variance",
    "blueprint entropy": "entropy/blueprint",
    "operation entropy": "entropy/op",
    "WAIT": "op/WAIT",
    "boost": "scaffold/boost_mean",
}


def quarter(lines: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Return the metrics lines of a quarter of the updates, the first being 0."""
    return lines[len(lines) * number // QUARTERS : len(lines) * (number + 1) // QUARTERS]


def mean(lines: Iterable[Mapping[str, Any]], name: str) -> float:
    """Return the mean of a metric where it is defined; NaN where it never is."""
    known = [line[name] for line in lines if line.get(name) is not None]
    return fmean(known) if known else float("nan")


def seconds(lines: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """Return the seconds per update of policy and gradient steps, and of everything."""
    timings = [line["timing"] for line in lines]
    learning = (timing["phases"]["update"] + timing["phases"]["policy"] for timing in timings)
    return fmean(learning), fmean(timing["seconds"] for timing in timings)


def over_runs(values: list[float]) -> str:
    """Return the mean, and the range where there are several."""
    text = f"{fmean(values):.3f}"
    return f"{text} ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else text


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run directories")
    policies: dict[str, list[list[dict[str, Any]]]] = {}
    for path in parser.parse_args().runs:
        run = RunDirectory.open(path)
        lines = list(run.metrics())
        if len(lines) < QUARTERS:
            parser.error(f"{path} has {len(lines)} updates; that is no update for each quarter.")
        policies.setdefault(run.plan.policy, []).append(lines)
    titles = ("policy", "runs", "quarter", *METRICS, "learning, s", "all, s")
    print(f"| {' | '.join(titles)} |")
    print("|---" * len(titles) + "|")
    for policy, runs in policies.items():
        for number in range(QUARTERS):
            parts = [quarter(lines, number) for lines in runs]
            cells = [over_runs([mean(part, name) for part in parts]) for name in METRICS.values()]
            spent = [over_runs(list(values)) for values in zip(*map(seconds, parts), strict=True)]
            print(f"| {' | '.join([policy, str(len(runs)), str(number + 1), *cells, *spent])} |")


if __name__ == "__main__":
    main()
