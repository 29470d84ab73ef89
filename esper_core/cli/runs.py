"""`esper runs`: what earlier runs left behind. Torch is not imported."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from esper_core.cli.output import duration, number, print_json, print_table
from esper_core.contracts.errors import EsperError
from esper_core.runs.checkpoint import best_checkpoint, list_checkpoints
from esper_core.runs.directory import RESERVED, RunDirectory, find_run, list_runs
from esper_core.runs.warnings import warning_spans

app = typer.Typer(help="Look at earlier runs.", no_args_is_help=True)

SHOWN = 12
"""Updates that `runs show` prints at most, evenly spread."""


@app.command("list")
def list_all(
    out: Annotated[Path, typer.Option(help="Directory of runs.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the runs in a directory, oldest first."""
    runs, damaged = list_runs(out)
    rows = []
    for run in runs:
        try:
            rows.append(_summary(run))
        except EsperError as error:
            damaged.append(error.message)
    if as_json:
        print_json(rows)
    elif rows:
        table = [
            (r["name"], r["policy"], r["slots"], f"{r['updates']}/{r['updates_planned']}", number(r["return"]))
            for r in rows
        ]
        print_table(("run", "policy", "slots", "updates", "return"), table)
    elif not damaged:
        typer.echo(f"There are no runs in {out}. Begin one: esper train")
    for sentence in damaged:
        typer.echo(sentence, err=True)


@app.command("show")
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A path, or the beginning of a name.")],
    out: Annotated[Path, typer.Option(help="Directory of runs.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a run: its plan, its metrics and its checkpoints."""
    directory = find_run(run, out)
    metrics = directory.metrics()
    checkpoints = [folder.name for folder in list_checkpoints(directory)]
    best = best_checkpoint(directory)
    if as_json:
        print_json(
            {
                **_summary(directory),
                "record": directory.record,
                "metrics": metrics,
                "checkpoints": checkpoints,
                "best": best.name if best else None,
            }
        )
        return
    plan = directory.plan
    typer.echo(f"{directory.path}")
    typer.echo(f"  policy       {plan.policy}, {len(plan.slots)} slots, seed {plan.seed}, begun {directory.created}")
    typer.echo(f"  components   {', '.join(f'{c.kind} {c.name}' for c in plan.components if c.kind != 'blueprint')}")
    typer.echo(f"  updates      {len(metrics)} of {plan.updates}, {plan.envs} environments side by side")
    if metrics:
        spent = sum(line["timing"]["seconds"] for line in metrics)
        steps = metrics[-1]["environment_steps"]
        typer.echo(f"  time         {duration(spent)}, {steps / spent:.1f} environment steps/s")
        if phases := _phases(metrics, spent):
            typer.echo(f"  spent on     {phases}")
    shown = ", ".join(f"{name} (best return)" if best and name == best.name else name for name in checkpoints)
    typer.echo(f"  checkpoints  {shown or 'none'}")
    if not metrics:
        return
    typer.echo("")
    columns = [name for name in _COLUMNS if any(line.get(name) is not None for line in metrics)]
    step = max(1, -(-len(metrics) // SHOWN))
    chosen = sorted({*range(0, len(metrics), step), len(metrics) - 1})
    rows = [(metrics[i]["update"], *(number(metrics[i].get(name)) for name in columns)) for i in chosen]
    print_table(("update", *columns), rows)
    if warnings := warning_spans(metrics):
        typer.echo("\nwarnings")
        for when, message in warnings:
            typer.echo(f"  {when}: {message}")
    typer.echo("\nlast update")
    alone, tables = _grouped({name: value for name, value in metrics[-1].items() if name not in RESERVED})
    print_table(("  metric", "value"), [(f"  {name}", number(value)) for name, value in alone.items()])
    for table in tables:
        typer.echo("")
        names = next(iter(table.values()))
        cells = [(f"  {name}", *(number(column[name]) for column in table.values())) for name in names]
        print_table(("", *table), cells)


_COLUMNS = (
    "return",
    "gain",
    "committed_accuracy",
    "static_accuracy",
    "fossils",
    "entropy/op",
    "kl",
    "explained_variance",
)


def _phases(metrics: list[dict[str, Any]], spent: float) -> str:
    """Return the share of each phase, the longest first; those below one percent are left out."""
    seconds: Counter[str] = Counter()
    for line in metrics:
        seconds.update(line["timing"].get("phases", {}))
    shares = [(name, value / spent) for name, value in seconds.most_common()]
    return ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in shares if share >= 0.01)


def _grouped(metrics: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, dict[str, Any]]]]:
    """Return the metrics that stand alone, and those such as `kl/op` as tables: column → row → value.

    What is measured of the same things, such as all heads, becomes columns of one table.
    """
    alone: dict[str, Any] = {}
    columns: dict[str, dict[str, Any]] = {}
    for name, value in metrics.items():
        column, slash, row = name.partition("/")
        if slash:
            columns.setdefault(column, {})[row] = value
        else:
            alone[name] = value
    tables: dict[frozenset[str], dict[str, dict[str, Any]]] = {}
    for column, values in columns.items():
        tables.setdefault(frozenset(values), {})[column] = values
    return alone, list(tables.values())


def _summary(run: RunDirectory) -> dict[str, Any]:
    plan, metrics = run.plan, run.metrics()
    return {
        "name": run.name,
        "path": str(run.path),
        "created": run.created,
        "policy": plan.policy,
        "slots": len(plan.slots),
        "seed": plan.seed,
        "updates": len(metrics),
        "updates_planned": plan.updates,
        "return": metrics[-1].get("return") if metrics else None,
    }
