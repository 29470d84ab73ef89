"""How learning went, part by part: the mean over runs of one policy, and what updates cost.

    python benchmarks/curves.py runs/lstm-v2-* runs/lstm-v1-*
    python benchmarks/curves.py runs/combat-suite-* --metrics won margin --parts 8 --figure won.png

`return` to `boost`, or what --metrics names, are metrics of docs/metrics.md, averaged over the updates of a quarter (or
another part) and over runs; in brackets the least and the largest run. `learning` is the seconds per update that policy
and gradient steps took, `all` those of the whole update. The figure shows the first of the metrics over environment
steps: the mean over runs of one policy, and the least and the largest.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from esper_core.contracts.errors import EsperError
from esper_core.runs.directory import RunDirectory

SMOOTHED = 10
"""Updates over which a curve of the figure is averaged."""

METRICS = {
    "return": "return",
    "gain": "gain",
    "explained variance": "explained_variance",
    "blueprint entropy": "entropy/blueprint",
    "operation entropy": "entropy/op",
    "WAIT": "op/WAIT",
    "boost": "scaffold/boost_mean",
}


def part(lines: list[dict[str, Any]], number: int, parts: int) -> list[dict[str, Any]]:
    """Return the metrics lines of one of so many parts of the updates, the first being 0."""
    return lines[len(lines) * number // parts : len(lines) * (number + 1) // parts]


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


def draw(policies: Mapping[str, list[list[dict[str, Any]]]], name: str, path: Path) -> None:
    """Draw a metric over environment steps, smoothed, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for policy, runs in policies.items():
        known = range(SMOOTHED, min(map(len, runs)) + 1, SMOOTHED // 2)
        steps = [fmean(lines[end - 1]["environment_steps"] for lines in runs) for end in known]
        values = [[mean(lines[end - SMOOTHED : end], name) for lines in runs] for end in known]
        (line,) = axes.plot(steps, list(map(fmean, values)), label=f"{policy}, {len(runs)} seeds")
        axes.fill_between(
            steps, list(map(min, values)), list(map(max, values)), color=line.get_color(), alpha=0.2, lw=0
        )
    axes.set(xlabel="environment steps", ylabel=name)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure).print_png(path)


def png(text: str) -> Path:
    """Return where a figure is to be written, as an option says it."""
    path = Path(text)
    if path.suffix != ".png" or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a .png in a folder that is there")
    return path


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run directories")
    parser.add_argument("--metrics", nargs="+", help="columns; those of growth where none are named")
    parser.add_argument("--parts", type=int, default=4, help="parts of the updates")
    parser.add_argument("--figure", type=png, help="draw the first metric into this PNG")
    said = parser.parse_args()
    metrics = {name: name for name in said.metrics} if said.metrics else METRICS
    if said.parts < 1:
        parser.error("--parts is at least 1.")
    policies: dict[str, list[list[dict[str, Any]]]] = {}
    for path in said.runs:
        try:
            run = RunDirectory.open(path)
        except EsperError as error:
            parser.error(str(error))
        lines = list(run.metrics())
        if len(lines) < said.parts:
            parser.error(f"{path} has {len(lines)} updates; that is no update for each of {said.parts} parts.")
        if unknown := [name for name in said.metrics or () if all(name not in line for line in lines)]:
            parser.error(f"{path} has no metric {unknown[0]}.")
        policies.setdefault(run.plan.policy, []).append(lines)
    titles = ("policy", "runs", "part", *metrics, "learning, s", "all, s")
    print(f"| {' | '.join(titles)} |")
    print("|---" * len(titles) + "|")
    for policy, runs in policies.items():
        for number in range(said.parts):
            parts = [part(lines, number, said.parts) for lines in runs]
            cells = [over_runs([mean(own, name) for own in parts]) for name in metrics.values()]
            spent = [over_runs(list(values)) for values in zip(*map(seconds, parts), strict=True)]
            print(f"| {' | '.join([policy, str(len(runs)), str(number + 1), *cells, *spent])} |")
    if said.figure is not None:
        draw(policies, next(iter(metrics.values())), said.figure)


if __name__ == "__main__":
    main()
