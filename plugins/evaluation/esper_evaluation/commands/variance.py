"""`esper variance`: how much of what a policy achieves is the instance, and how much is luck."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from attrs import asdict

from esper_core.cli import completion
from esper_core.cli.counting import counting
from esper_core.cli.installed import load_installed
from esper_core.cli.output import kept, number, print_json, print_table, say
from esper_core.cli.stopping import stopping_promptly
from esper_core.contracts.errors import Interrupted, Terminated
from esper_core.runs.brought import to_write
from esper_core.runs.directory import find_run
from esper_evaluation.entrants import choose_entrants

if TYPE_CHECKING:
    from esper_evaluation.statistics import Estimate
    from esper_evaluation.variance import Parts

REPEATS = (2, 4, 8)
"""Repeats for which a leave-one-out baseline is reckoned."""


def variance(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A path, or the beginning of a name.", autocompletion=completion.runs)
    ],
    at: Annotated[str, typer.Option(metavar="K", help="Checkpoint: last, best, or the number of an update.")] = "last",
    instances: Annotated[
        int, typer.Option(metavar="I", help="Training instances, from number 0 on.", min=2, max=1_000_000)
    ] = 64,
    episodes: Annotated[int, typer.Option(metavar="R", help="Episodes on each.", min=2, max=10_000)] = 8,
    out: Annotated[Path, typer.Option(help="Directory of runs.")] = Path("runs"),
    device: Annotated[str | None, typer.Option(help="torch device; the run's own without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell luck from instances: a fixed policy plays the same training instances again and again.

    Printed are the variance between instances, of what they give on average, and within an instance, where the policy's
    own sampling differs alone: of the return, and of what the critic did not expect of the discounted return at the
    start. The latter says what a baseline from K repeats of an instance would be worth in training: how it is best
    weighted, and which share of the variance it leaves.

    \b
      esper variance lstm-v1-s3-2026 --instances 64 --episodes 8

    Episodes already played are kept in the run's folder, and not played again.
    """  # noqa: D301
    index, _ = load_installed(context)
    (entrant,) = choose_entrants([to_write(find_run(run, out), out)], at)
    told: list[str] = []

    def stopped() -> Interrupted:
        where = f" after {told[-1]}" if told else ""
        return Interrupted(
            f"Stopped{where}. Every batch of episodes that was finished is kept.",
            hint="The same command goes on from there.",
        )

    with stopping_promptly(lambda: str(stopped())):
        from esper_evaluation.repeating import repeat
        from esper_evaluation.variance import parts_of

        try:
            with counting("episodes", told, plain=as_json) as (show, warning):
                found = repeat(
                    entrant,
                    index,
                    instances=instances,
                    episodes=episodes,
                    device=device,
                    on_progress=show,
                    warn=warning,
                )
        except (KeyboardInterrupt, Terminated) as error:
            interrupted = stopped()
            interrupted.exit_code = error.exit_code if isinstance(error, Terminated) else Interrupted.exit_code
            raise interrupted from error
    residual = parts_of(found.discounted - found.value)
    rows = {"return": parts_of(found.total), "discounted return": parts_of(found.discounted), "residual": residual}
    with kept("Every episode is kept in the run's folder; the same command plays none of them again."):
        if as_json:
            print_json(
                {
                    "run": str(entrant.run.shown()),
                    "checkpoint": entrant.header.update,
                    "instances": instances,
                    "episodes": episodes,
                    "played": found.played,
                    **{name: asdict(parts) for name, parts in rows.items()},
                    "leave_one_out": {
                        str(k): {"weight": residual.weight(k), "left": residual.left(k)} for k in REPEATS
                    },
                }
            )
            return
        header = ("variance of", "mean", "between instances", "within an instance", "share between")
        print_table(header, [(name, *_row(parts)) for name, parts in rows.items()])
        say("", f"Checkpoint {entrant.header.update} on {instances} training instances, {episodes} episodes on each.")
        say("A baseline from the other repeats of an instance, weighted as is best, leaves of the residual's variance:")
        for k in REPEATS:
            say(f"  {k} repeats  {residual.left(k):.0%}  (weight {residual.weight(k):.2f})")


def _row(parts: Parts) -> tuple[str, ...]:
    between, whole = max(0.0, parts.between.value), max(0.0, parts.between.value) + parts.within.value
    share = f"{between / whole:.0%}" if whole > 0.0 else "-"
    return number(parts.mean), _between(parts.between), _between(parts.within), share


def _between(estimate: Estimate) -> str:
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"
