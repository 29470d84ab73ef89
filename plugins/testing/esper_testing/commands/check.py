"""`esper plugins check`: whether components do what their kinds ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from esper_core.cli import completion
from esper_core.cli.installed import load_installed
from esper_core.cli.output import print_json, print_table, say
from esper_testing.api import check_named
from esper_testing.commands.progress import progress

if TYPE_CHECKING:
    from esper_testing.conformance.report import Conformance, Result


def check_plugin(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Plugin id, distribution, KIND/NAME, or command/NAME.",
            autocompletion=completion.plugins,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run every conformance check on a plugin's components and commands; exit with 5 when the verdict is RED."""
    index, recipes = load_installed(context)
    with progress() as show:

        def said(result: Result) -> None:
            show(result.component, f"{result.component}: {result.name} {result.status}")

        conformance = check_named(name, index, recipes, said)
    if as_json:
        print_json(conformance.to_json())
    else:
        _print(conformance)
    raise typer.Exit(conformance.exit_code)


def _print(conformance: Conformance) -> None:
    keys = dict.fromkeys(result.component for result in conformance.checks)
    rows = []
    for key in keys:
        results = [result for result in conformance.checks if result.component == key]
        passed = sum(result.status == "passed" for result in results)
        others = dict.fromkeys(result.status for result in results if result.status != "passed")
        notes = [f"{sum(result.status == status for result in results)} {status}" for status in others]
        rows.append((key, f"{passed} of {len(results)} passed", ", ".join(notes)))
    print_table(("component", "checks", ""), rows)
    for result in conformance.checks:
        if result.status != "passed":
            say("", f"  {result.component} {result.name} {result.status}: {result.message}")
            if result.file:
                say(f"    {result.file}:{result.line}")
    say("", f"{conformance.colour} after {conformance.seconds:.1f} s")
