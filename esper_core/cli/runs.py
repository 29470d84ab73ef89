"""`esper runs`: what earlier runs left behind. Torch is not imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import asdict

from esper_core.cli import choices, completion
from esper_core.cli.installed import installed_of
from esper_core.cli.output import duration, number, print_json, print_table, say
from esper_core.contracts.errors import CheckpointMismatch, EsperError
from esper_core.registry.distributions import reinstall_advice
from esper_core.runs.brought import brought_runs
from esper_core.runs.checkpoint import best_checkpoint, list_checkpoints
from esper_core.runs.compatibility import FITTED
from esper_core.runs.directory import RunDirectory, find_run, list_runs
from esper_core.runs.header import read_header
from esper_core.runs.records import RESERVED
from esper_core.runs.warnings import warning_spans
from esper_core.runs.words import by_place
from esper_core.system.packages import LOCAL_DISTRIBUTION

A_RUN = "A path, or the beginning of a name."
SHOWN = 12
"""Updates that `runs show` prints at most, evenly spread."""


def list_all(out: choices.Out = Path("runs"), as_json: choices.AsJson = False) -> None:
    """List the runs in a directory, oldest first, then those that installed distributions bring."""
    runs, damaged = list_runs(out)
    brought = brought_runs()
    rows = []
    for run in (*runs, *brought):
        try:
            rows.append(_summary(run))
        except EsperError as error:
            damaged.append(error.message)
    if as_json:
        print_json(rows)
        rows = []
    elif not runs and not damaged:
        say(f"There are no runs in {out}. Begin one: esper train")
    if rows:
        same = ("name", "policy", "environment", "slots", "seed")
        cells = [
            (
                *({**r, "slots": ",".join(map(str, r["drawn"])) or r["slots"]}[key] for key in same),
                *(f"{r['updates']}/{r['updates_planned']}", number(r["environment_steps"]), duration(r["seconds"])),
                *(number(r["return"]), number(r["best_return"])),
            )
            for r in rows
        ]
        print_table(("run", *same[1:], "updates", "steps", "time", "return", "best"), cells)
    if brought and not as_json:
        say(
            "",
            *(f"{run.name} comes with {run.brought}; it is evaluated and begun with by its name." for run in brought),
        )
    for sentence in damaged:
        say(sentence, err=True)


def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help=A_RUN, autocompletion=completion.runs)],
    out: choices.Out = Path("runs"),
    as_json: choices.AsJson = False,
) -> None:
    """Show a run: its plan, its metrics and its checkpoints."""
    directory = find_run(run, out)
    metrics, folders, best = directory.metrics(), list_checkpoints(directory), best_checkpoint(directory)
    newest: dict[str, Any] | None = None
    try:
        newest = read_header(folders[-1]).content if folders else None
    except CheckpointMismatch as error:
        newest = {"damaged": error.message}
    if as_json:
        print_json(
            {
                **_summary(directory),
                "record": directory.record,
                "metrics": metrics,
                "checkpoints": [folder.name for folder in folders],
                "best": best.name if best else None,
                "newest": newest,
            }
        )
        return
    _print_summary(directory, metrics)
    shown = ", ".join(f"{f.name}{' (best return)' * (f == best)}" for f in folders)
    say(f"  checkpoints  {shown or 'none'}", f"  code         {_code(directory.record)}")
    if LOCAL_DISTRIBUTION in (component.distribution for component in directory.plan.components):
        say("", reinstall_advice([(LOCAL_DISTRIBUTION, "")]))
    if not metrics:
        return
    _print_metrics(directory, metrics)
    if newest:
        say("", "newest checkpoint")
        _print_checkpoint(newest)
    slots = directory.words.slots
    lives = f" and the life of every {slots.thing}" if slots is not None else ""
    if any(command.spec.name == "report" for command in installed_of(context).index.commands):
        say("", f"A page with curves{lives}: esper report {directory.shown()}")


def _print_summary(directory: RunDirectory, metrics: list[dict[str, Any]]) -> None:
    plan = directory.plan
    say(
        str(directory.shown()),
        f"  policy       {plan.policy}, {plan.slots_said}, seed {plan.seed}, begun {directory.created}",
        f"  components   {', '.join(f'{c.kind} {c.name}' for c in plan.components if len(plan.of_kind(c.kind)) == 1)}",
        f"  updates      {len(metrics)} of {plan.updates}, {plan.envs} environments side by side",
        f"  loads with   {_loads_with(directory)}",
    )
    if found := directory.circumstances.get("environment"):
        say(f"  played with  {', '.join(f'{name} {value}' for name, value in found.items())}")
    if plan.init is not None:
        say(f"  begun with   {plan.init.run}, update {plan.init.update}, digest {plan.init.digest[:16]}")
    spent = sum(line["timing"]["seconds"] for line in metrics)
    if spent > 0:
        say(f"  time         {duration(spent)}, {metrics[-1]['environment_steps'] / spent:.1f} environment steps/s")
        seconds: Counter[str] = Counter()
        for line in metrics:
            seconds.update(line["timing"].get("phases", {}))
        shares = [(name.replace("_", " "), value / spent) for name, value in seconds.most_common()]
        phases = ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= 0.01)
        if phases:
            say(f"  spent on     {phases}")


def _loads_with(directory: RunDirectory) -> str:
    """Return the slots that a policy can be loaded with."""
    plan = directory.plan
    if directory.record.get("any_slots"):
        drawn = ", one drawn for each update" * bool(plan.drawn)
        return f"any number of slots; trained with {plan.slots_said}{drawn}"
    return f"its own {plan.slots_said} alone: {', '.join(plan.slots)}"


def _print_metrics(directory: RunDirectory, metrics: list[dict[str, Any]]) -> None:
    names = [headline.name for headline in by_place(directory.words.headlines)]
    names = [name for name in names if any(line.get(name) is not None for line in metrics)]
    chosen = sorted({*range(0, len(metrics), max(1, -(-len(metrics) // SHOWN))), len(metrics) - 1})
    say()
    rows = [(metrics[i]["update"], *(number(metrics[i].get(name)) for name in names)) for i in chosen]
    print_table(("update", *names), rows)
    if warnings := warning_spans(metrics):
        say("", "warnings", *(f"  {when}: {message}" for when, message in warnings))
    say("", "last update")
    last = {name: number(value) for name, value in metrics[-1].items() if name not in RESERVED}
    print_table(("  metric", "value"), [(f"  {name}", value) for name, value in last.items() if "/" not in name])
    for table in _tables(last):
        say()
        columns = [*table.values()]
        print_table(("", *table), [(f"  {row}", *(column[row] for column in columns)) for row in columns[0]])


def _tables(metrics: dict[str, str]) -> Iterable[dict[str, dict[str, str]]]:
    """Return the metrics such as `kl/op` as tables: column → row → value.

    What is measured of the same things, such as all heads, becomes columns of one table.
    """
    columns: dict[str, dict[str, str]] = {}
    for name, value in metrics.items():
        column, slash, row = name.partition("/")
        if slash:
            columns.setdefault(column, {})[row] = value
    tables: dict[frozenset[str], dict[str, dict[str, str]]] = {}
    for column, values in columns.items():
        tables.setdefault(frozenset(values), {})[column] = values
    return tables.values()


def _print_checkpoint(content: dict[str, Any]) -> None:
    if "damaged" in content:
        say(f"  {content['damaged']}")
        return
    schema = content["feature_schema"]
    weights = {key: v for key, v in content["weights_versions"].items() if key.partition("/")[0] in FITTED}
    print_table(
        ("  update", f"{content['update']}, {content['environment_steps']:,} environment steps"),
        [
            ("  slots", ", ".join(content["plan"]["slots"])),
            ("  features", f"schema {schema['digest']}, {schema['dim']} numbers"),
            ("  actions", f"digest {content['actions']['digest']}"),
            *((f"  weights of {key}", f"version {version}") for key, version in weights.items()),
            *((f"  {n}", f"{d['version']}, source {d['source']}") for n, d in content["distributions"].items()),
            *((f"  {n}", f"{f['bytes']:,} bytes, SHA-256 {f['sha256'][:16]}") for n, f in content["files"].items()),
        ],
    )


def _code(record: Mapping[str, Any]) -> str:
    """Return the commit and the distributions of a run."""
    git = record.get("git")
    commit = f"git {git['commit'][:12]}{' with changes' * bool(git['changed'])}, " if git and git["commit"] else ""
    return commit + ", ".join(f"{name} {entry['version']}" for name, entry in record["distributions"].items())


def _summary(run: RunDirectory) -> dict[str, Any]:
    plan, metrics = run.plan, run.metrics()
    returns = [line["return"] for line in metrics if line.get("return") is not None]
    return {
        "name": run.name,
        "path": str(run.shown()),
        "brought": run.brought or None,
        "created": run.created,
        "policy": plan.policy,
        "environment": ", ".join(component.name for component in plan.of_kind("environment")),
        "slots": len(plan.slots),
        "drawn": list(plan.drawn),
        "any_slots": bool(run.record.get("any_slots")),
        "init": None if plan.init is None else asdict(plan.init),
        "seed": plan.seed,
        "updates": len(metrics),
        "updates_planned": plan.updates,
        "environment_steps": metrics[-1]["environment_steps"] if metrics else 0,
        "seconds": sum(line["timing"]["seconds"] for line in metrics),
        "return": metrics[-1].get("return") if metrics else None,
        "best_return": max(returns, default=None),
    }
