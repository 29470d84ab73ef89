"""`esper train`: choose components, train a policy, leave a run behind."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import evolve

from esper_core.api.beginning import plan_from
from esper_core.api.training import as_checkpoint
from esper_core.api.watching import choose_observers, split_options
from esper_core.cli import choices, completion, ranks, training
from esper_core.cli.installed import load_installed
from esper_core.cli.output import duration, kept, print_json, say, warn
from esper_core.composition.fit import known_failures
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.contracts.errors import UserError
from esper_core.ranks.launch import Launch
from esper_core.runs.brought import check_own
from esper_core.runs.checkpoint import verify_checkpoint
from esper_core.runs.directory import RunDirectory, check_writable, find_run
from esper_core.runs.lock import locked
from esper_core.runs.resume import find_fitting, find_resumption

BESIDE_RESUME = ("resume", "at", "updates", "device", "observe", "no_tensorboard", "out", "plain", "as_json")
"""Parameters that may stand beside `--resume`: where the run is, how far it goes, where it computes, who watches."""


SLOTS = (
    "A count such as 5, or ids such as r0c0,r0c2. Several counts, 1,2,3: each update draws one, for a network whose "
    "weights fit any number."
)
THREADS = "Threads within one operation of the policy; 1, for more were measured slower beside other work."
PRECISION = "What networks compute in; float32. Weights stay float32."
RESUME = (
    "Go on with a run, from its newest checkpoint to its total of updates, which --updates may raise; auto: with the "
    "newest in --out of this very plan, or begin one."
)
AUTO = "auto"
AT = "With --resume or --init: the checkpoint of this update, or last, or best. A resumed run drops what came after."
INIT = (
    "Begin a new run with the weights of another. What is not said is as there, but for who taught and was played "
    "against; slots, options of the environment and the loss may be others. The units of rewards and of what is "
    "observed come along; counters, random numbers and the optimiser's moments begin anew."
)
NO_TENSORBOARD = "Write nothing for TensorBoard, which watches where it is installed."


def _run(*flags: str, **details: Any) -> Any:
    """Return a flag in the panel about the run."""
    return typer.Option(*flags, rich_help_panel=choices.RUN, **details)


def train(
    context: typer.Context,
    policy: choices.Policy = None,
    slots: Annotated[str | None, typer.Option(help=SLOTS)] = None,
    kinds: choices.Kinds = None,
    settings: choices.KindSettings = None,
    uses: choices.Uses = None,
    options: choices.Options = None,
    envs: Annotated[int | None, _run(help="Environments side by side; 8.")] = None,
    updates: Annotated[int | None, _run(help="Updates of the run; 40.")] = None,
    epochs: choices.Epochs = None,
    seed: choices.Seed = None,
    device: Annotated[str | None, _run(help="torch device; auto is cuda where there is one.")] = None,
    workers: choices.Workers = None,
    threads: Annotated[int | None, _run(help=THREADS)] = None,
    precision: Annotated[str | None, _run(metavar="float32|bf16", help=PRECISION)] = None,
    out: Annotated[Path, _run(help="Directory of runs.")] = Path("runs"),
    resume: Annotated[str | None, _run(metavar="RUN|auto", help=RESUME)] = None,
    init: Annotated[str | None, _run(metavar="RUN", help=INIT, autocompletion=completion.runs)] = None,
    at: Annotated[str | None, _run(metavar="K", help=AT)] = None,
    observe: Annotated[
        list[str] | None, _run(metavar="NAME", help="Let an installed observer watch the run (repeatable).")
    ] = None,
    no_tensorboard: Annotated[bool, _run("--no-tensorboard", help=NO_TENSORBOARD)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan as JSON and build nothing.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines instead of the live view.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON at the end.")] = False,
) -> None:
    """Train a policy.

    \b
      esper train --policy lstm-v2 --slots 5              a new run
      esper train --resume runs/lstm-v2-s5-…              goes on with one
      esper train --init runs/lstm-v2-s5-… --updates 10   a new one with its weights
    """  # noqa: D301
    index, recipes = load_installed(context)
    launch = Launch.here()
    if launch is not None and launch.rank:
        if not dry_run:
            ranks.follow(launch, index)
        return
    planned, watchers = split_options(options or ())
    watching = choose_observers(index, recipes, observe or (), watchers, tensorboard=not no_tensorboard)

    def go_on(run: RunDirectory, updates: int | None, device: str | None, at: str | None = None) -> None:
        with locked(run.path):
            resumption = find_resumption(run, index, at=at, updates=updates)
            ranks.check(launch, resumption.plan if device is None else evolve(resumption.plan, device=device), index)
            lines = training.resume(resumption, index, watching, device=device, plain=plain or as_json, launch=launch)
        _print(run, lines, as_json)

    if resume not in (None, AUTO):
        _refuse_beside_resume(context, planned)
        named = find_run(str(resume), out)
        check_own(named)
        go_on(named, updates, device, at)
        return
    if at is not None and init is None:
        raise UserError(
            "--at names a checkpoint to resume from, or to begin with.",
            hint="Name the run: --resume RUN --at K, or --init RUN --at K.",
        )
    meant = choices.check_once(settings, planned)
    request = PlanRequest(
        policy=policy,
        slots=slots,
        uses=choices.parse_uses(uses, kinds),
        wanted=[option.kind for option in meant],
        options=[*planned, *meant],
        envs=envs,
        epochs=epochs,
        workers=workers,
        updates=updates,
        seed=seed,
        device=device,
        threads=threads,
        precision=precision,
    )
    if init is None:
        plan = make_plan(request, index, recipes)
    else:
        checkpoint = as_checkpoint(init, "last" if at is None else at, out)
        plan = plan_from(verify_checkpoint(checkpoint), request, index, recipes)
    for failure in known_failures([find_planned(index, planned) for planned in plan.components]):
        warn(failure)
    if dry_run:
        print_json(plan.to_json(), indent=None if as_json else 2)
        return
    check_writable(out)
    if resume == AUTO and (fitting := find_fitting(out, plan)) is not None:
        go_on(fitting, plan.updates, None)
        return
    ranks.check(launch, plan, index)
    run, lines = training.begin(plan, index, watching, out, plain=plain or as_json, launch=launch)
    _print(run, lines, as_json)


def _refuse_beside_resume(context: typer.Context, options: Sequence[object]) -> None:
    """Raise UserError naming the flags, and options of components, that would change what a resumed run is."""
    names = {parameter.name: parameter.opts[0] for parameter in context.command.params if parameter.name is not None}
    sources = {name: context.get_parameter_source(name) for name in names if name not in (*BESIDE_RESUME, "options")}
    given = [names[name] for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    given += ["-o"] * bool(options)
    if given:
        allowed = ", ".join(names[name] for name in BESIDE_RESUME if name != "resume")
        raise UserError(
            f"A resumed run keeps its plan: {', '.join(given)} cannot stand beside --resume.",
            hint=f"Leave it out, or begin a new run. Beside --resume may stand {allowed}.",
        )


def _print(run: RunDirectory, lines: list[dict[str, Any]], as_json: bool) -> None:
    last = lines[-1]
    # What to type for this command: its path where a shell would not find it by name.
    unknown = shutil.which("esper") is None and Path(sys.argv[0]).name == "esper"
    look = f"{sys.argv[0] if unknown else 'esper'} runs show {run.shown()}"
    with kept(f"The run is kept: {look}"):
        if as_json:
            counts = {"updates": last["update"], "environment_steps": last["environment_steps"]}
            print_json({"run": str(run.shown()), **counts, "parameters": run.record["parameters"], "metrics": last})
        else:
            _print_result(run, lines)
            say("", f"The run is in {run.shown()}", f"More about it: {look}")


def _print_result(run: RunDirectory, lines: list[dict[str, Any]]) -> None:
    """Print the results of a run: first and last quarter of its updates, where there are enough."""
    last, quarter = lines[-1], max(1, len(lines) // 4)
    seconds = sum(line["timing"]["seconds"] for line in lines)
    plural = "s" * (last["update"] != 1)
    say("", f"{last['update']} update{plural}, {last['environment_steps']:,} environment steps in {duration(seconds)}")
    headlines = run.words.everywhere
    width = max(12, *(len(headline.label) for headline in headlines))
    for headline in headlines:
        values = [line[headline.name] for line in lines if line.get(headline.name) is not None]
        if values:
            begun, ended = statistics.fmean(values[:quarter]), statistics.fmean(values[-quarter:])
            change = f"{begun:6.3f} → {ended:.3f}" if len(lines) >= 4 else f"{ended:6.3f}"
            say(f"  {headline.label:{width}} {change}   {headline.meaning}")
    if len(lines) >= 4:
        say("  (mean of the first quarter of the updates → mean of the last)")
