"""`esper export`: a network that a policy grew, as files that need torch alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from esper_core.cli import completion
from esper_core.cli.installed import load_installed
from esper_core.cli.output import kept, number, print_json, print_table, say
from esper_core.runs.directory import RunDirectory, find_run
from esper_evaluation.exporting import MAX_INSTANCE, export_run

if TYPE_CHECKING:
    from esper_evaluation.export.grow import Result
    from esper_evaluation.export.write import Exported


def export(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A path, or the beginning of a name.", autocompletion=completion.runs)
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="grown.py, for example; the weights lie beside it.")],
    instance: Annotated[
        int, typer.Option(metavar="I", help="Host instance on which the policy plays.", min=0, max=MAX_INSTANCE)
    ] = 0,
    at: Annotated[str, typer.Option(metavar="K", help="Checkpoint: last, best, or the number of an update.")] = "last",
    runs: Annotated[Path, typer.Option(help="Directory of runs.")] = Path("runs"),
    device: Annotated[str | None, typer.Option(help="torch device; the run's own without it.")] = None,
    slots: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Grow in N slots, or in ids such as r0c0,r0c2, instead of those of training: "
            "for networks whose weights fit any number of slots.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let a trained policy grow one network, and write it to files.

    The policy of a checkpoint plays one episode on an instance of its environment, always taking what it thinks most
    probable. The resulting network, with what was made permanent, is written as two files: FILE.safetensors
    holds the weights, FILE.py builds the network and loads them. Neither needs esper:

      from grown import load; network = load()
    """
    index, _ = load_installed(context)
    directory = find_run(run, runs)
    checkpoint, played, exported = export_run(directory, index, out, instance, at, device, slots)
    for note in played.notes:
        say(f"warning: {note}", err=True)
    with kept(f"What was grown is kept in {exported.source} and {exported.weights}."):
        if as_json:
            print_json(_document(directory, checkpoint, played, exported))
        else:
            _print(checkpoint, played, exported)


def _document(directory: RunDirectory, checkpoint: Path, played: Result, exported: Exported) -> dict[str, Any]:
    return {
        "run": str(directory.shown()),
        "checkpoint": checkpoint.name,
        "slots": list(played.slots),
        **played.grown.facts,
        "weights": str(exported.weights),
        "source": str(exported.source),
        "episode": next((event for event in reversed(played.events) if event["type"] == "episode"), None),
        "parameters": exported.cost.parameters,
        "flops": exported.cost.flops,
        "parts": [{"name": p.name, "parameters": p.parameters, "flops": p.flops} for p in exported.parts],
        "difference": exported.difference,
    }


def _print(checkpoint: Path, played: Result, exported: Exported) -> None:
    rows = [(f"  {part.name}", f"{part.parameters:,}", f"{part.flops:,}") for part in exported.parts]
    rows.append(("  all", f"{exported.cost.parameters:,}", f"{exported.cost.flops:,}"))
    print_table(("  part", "parameters", "operations of a sample"), rows)
    say()
    for name, value in played.grown.facts.items():
        say(f"  {name.replace('_', ' '):20} {number(value)}")
    say("", f"{exported.source} loads {exported.weights.name}, and needs torch alone.")
    slots = f"{len(played.slots)} slot{'s' * (len(played.slots) != 1)}"
    say(
        f"Made with checkpoint {checkpoint} in {slots}; outputs are those of the grown network within {exported.difference:.1g}."
    )
