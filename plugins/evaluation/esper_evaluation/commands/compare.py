"""`esper runs compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esper_core.cli import completion
from esper_core.cli.output import number, print_json, print_table, say
from esper_core.runs.directory import find_run
from esper_evaluation.looked import without_record

if TYPE_CHECKING:
    from esper_evaluation.report.comparison import Comparison
    from esper_evaluation.student import Interval


def compare_runs(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN...", help="Paths, or the beginnings of names.", autocompletion=completion.runs),
    ],
    out: Annotated[Path, typer.Option(help="Directory of runs.")] = Path("runs"),
    every: Annotated[bool, typer.Option("--all", help="Print every metric, not only those of episodes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare runs side by side: where their plans differ, and their results.

    Numbers are means over the last quarter of the updates that all runs have, with 95 % intervals over the episodes.
    """
    from esper_evaluation.report.comparison import compare

    comparison = compare([find_run(name, out) for name in without_record(runs)])
    if as_json:
        print_json(comparison.to_json())
    else:
        _print_comparison(comparison, every)


def _print_comparison(comparison: Comparison, every: bool) -> None:
    letters = [chr(ord("a") + i) if len(comparison.names) <= 26 else str(i + 1) for i in range(len(comparison.names))]
    rows = [
        (f"  {letter}", record.run.name, f"{len(record.lines)} of {record.plan.updates} updates")
        for letter, record in zip(letters, comparison.records, strict=True)
    ]
    print_table(("run", "", ""), rows)
    for title, differences in (("plan", comparison.plan), ("made with", comparison.made_with)):
        say("", title if differences else f"{title}: no difference")
        if differences:
            print_table(("  ", *letters), [(f"  {d.name}", *map(_plain, d.values)) for d in differences])
    if window := comparison.window:
        span = f"updates {window[0]} to {window[-1]}" if len(window) > 1 else f"update {window[0]}"
        say("", f"episodes of {span}: mean and 95 % interval")
        change = ("b − a",) * (len(letters) == 2)
        print_table(
            ("  ", *letters, *change),
            [
                (f"  {o.name}", *map(_between, o.intervals), *((_between(o.change),) if change else ()))
                for o in comparison.outcomes
            ],
        )
    if every and comparison.metrics:
        say("", "other metrics, mean of the same updates")
        print_table(("  ", *letters), [(f"  {d.name}", *map(number, d.values)) for d in comparison.metrics])
    say()
    for note in comparison.notes:
        say(note)


def _between(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    ends = "" if interval.low is None else f" [{number(interval.low)}, {number(interval.high)}]"
    return f"{number(interval.mean)}{ends}"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return number(value)
