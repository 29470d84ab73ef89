"""`esper bench`: how fast this machine trains, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from esper_core.cli import choices, completion
from esper_core.cli.installed import load_installed
from esper_core.cli.output import number, print_json, print_table, say, status_line
from esper_core.cli.stopping import stopping_promptly
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import PluginError
from esper_core.registry.index import Component, Index
from esper_testing.beside import choose_beside

APART = ("targets", "floor", "machine", "versions", "phases", "workload", "quick", "policy", "threads")
"""Keys of the document that have a place of their own in the text."""


def bench(
    context: typer.Context,
    workload: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What is measured; the environment's own without it.",
            autocompletion=completion.components("workload"),
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure the main figures only, within minutes.")] = False,
    policy: Annotated[str | None, typer.Option(help="Policy that is trained; the workload's own without it.")] = None,
    workers: choices.Workers = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads within one operation of the policy; 1 without it.", min=1)
    ] = None,
    option: choices.Options = None,
    as_json: choices.AsJson = False,
) -> None:
    """Measure the speed of a workload.

    Ratios that were measured side by side come first, with the target they should reach. Where one misses it, the
    floor is measured too: what the work costs in operations and bytes, and how fast this machine could do that at best.
    Absolute numbers come last, beside what this machine can do.

    Workloads are components that any plugin may bring: `esper plugins list --kind workload` shows those installed.

    \b
        esper bench --quick
        esper bench --workload conv-small --quick --json
        esper bench --workload mnist1d -o environment.runtime=loop
    """  # noqa: D301
    index, recipes = load_installed(context)
    component = choose_beside(index, recipes, "workload", workload)
    said = {"policy": policy, "workers": workers, "threads": threads}
    document = _measure(component, index, recipes, said, option or (), quick)
    if as_json:
        print_json(document)
    else:
        _print(document)


def _measure(
    component: Component,
    index: Index,
    recipes: Recipes,
    said: Mapping[str, Any],
    options: Sequence[str],
    quick: bool,
) -> dict[str, Any]:
    import torch

    from esper_bench.report import run_workload
    from esper_core.composition.build import build_beside

    workload = build_beside(component, index)
    with component.owner.doing("saying what is measured"):
        chosen = dict(workload.choices)
        chosen["options"] = (*chosen.get("options", ()), *options)
    try:
        request = PlanRequest(**{**chosen, **{name: value for name, value in said.items() if value is not None}})
    except TypeError as error:
        raise PluginError(
            f"{component} breaks its contract: its choices are not a plan: {error}.",
            hint="Report this to the workload's author.",
        ) from error
    plan = make_plan(request, index, recipes)
    torch.set_num_threads(plan.threads)
    with stopping_promptly(lambda: "Stopped."), status_line() as tell:
        figures = run_workload(component.owner, workload, plan, index, quick=quick, say=tell)
    return {"workload": component.name, "quick": quick, "policy": plan.policy, "threads": plan.threads, **figures}


def _print(document: Mapping[str, Any]) -> None:
    say(f"{document['workload']}, policy {document['policy']}{', quick' * document['quick']}", "")
    targets = document["targets"]
    rows = [
        (figure, number(row["measured"]), row["target"], "reached" if row["reached"] else "missed", row["meaning"])
        for figure, row in targets.items()
    ]
    print_table(("figure", "measured", "target", "", ""), rows)
    others = {name: value for name, value in document.items() if name not in (*APART, *targets)}
    numbers = {name: others.pop(name) for name in [*others] if not isinstance(others[name], Mapping | list)}
    for name, value in others.items():
        _print_apart(name.replace("_", " "), _without(value, name, targets))
    if "phases" in document:
        say()
        phases = [(name, f"{p['seconds']:.2f}", f"{p['share']:.1%}") for name, p in document["phases"].items()]
        print_table(("phase", "seconds", "share"), phases)
    for figure, row in document.get("floor", {}).items():
        _print_apart(f"{figure} misses its target; the floor under it", row["evidence"])
    _print_apart("besides, on this machine", numbers)
    _print_apart("this machine, per core", document["machine"]["ceilings"])


def _without(value: Any, table: str, targets: Mapping[str, Any]) -> Any:
    """Return a table without the figures that were printed with their targets."""
    if not isinstance(value, Mapping):
        return value
    return {row: found for row, found in value.items() if f"{table}.{row}" not in targets}


def _print_apart(title: str, value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Print a list of rows, or a table of numbers in which the names of tables within are joined by dots."""
    if not value:
        return
    say("", title)
    if isinstance(value, Mapping):
        print_table(("", "value"), [(f"  {name}", number(entry)) for name, entry in _flat(value)])
    else:
        header = tuple(value[0])
        print_table(("", *header), [("", *(number(row[name]) for name in header)) for row in value])


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, entry in value.items():
        if isinstance(entry, Mapping):
            yield from _flat(entry, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", entry
