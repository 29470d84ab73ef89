"""`esper train`: choose components, train a policy, leave a run behind."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from esper_core.cli import choices
from esper_core.cli.output import duration, print_json
from esper_core.cli.progress import follow
from esper_core.cli.stopping import Terminated
from esper_core.cli.watching import choose_observers, split_options
from esper_core.cli.world import load_world
from esper_core.contracts.errors import EsperError, Interrupted
from esper_core.registry.index import Component, Index
from esper_core.registry.plan import Plan, PlanRequest, make_plan

if TYPE_CHECKING:
    from esper_core.learning.trainer import Trainer
    from esper_core.runs.directory import RunDirectory


def train(
    context: typer.Context,
    policy: choices.Policy = None,
    slots: Annotated[str | None, typer.Option(help="A count such as 5, or ids such as r0c0,r0c2.")] = None,
    environment: choices.Environment = None,
    task: choices.Task = None,
    host: choices.Host = None,
    features: choices.Features = None,
    network: choices.Network = None,
    critic: choices.Critic = None,
    masks: choices.Masks = None,
    loss: choices.Loss = None,
    uses: choices.Uses = None,
    options: choices.Options = None,
    envs: Annotated[int | None, typer.Option(help="Environments side by side; 8.", rich_help_panel=choices.RUN)] = None,
    updates: Annotated[int | None, typer.Option(help="Updates of the run; 40.", rich_help_panel=choices.RUN)] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Host epochs per episode; 40 in growth.", rich_help_panel=choices.RUN)
    ] = None,
    seed: choices.Seed = None,
    device: Annotated[
        str | None, typer.Option(help="torch device; auto is cuda where there is one.", rich_help_panel=choices.RUN)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that train hosts side by side; one per core in growth.", rich_help_panel=choices.RUN
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads within one operation of the policy; 1, for more were measured slower beside other work.",
            rich_help_panel=choices.RUN,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="float32|bf16",
            help="What policy and hosts compute in; float32. Weights stay float32.",
            rich_help_panel=choices.RUN,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory of runs.", rich_help_panel=choices.RUN)] = Path("runs"),
    observe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Let an installed observer watch the run (repeatable).", rich_help_panel=choices.RUN
        ),
    ] = None,
    no_tensorboard: Annotated[
        bool,
        typer.Option(
            "--no-tensorboard",
            help="Write nothing for TensorBoard, which watches where it is installed.",
            rich_help_panel=choices.RUN,
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan as JSON and build nothing.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines instead of the live view.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON at the end.")] = False,
) -> None:
    """Train a policy."""
    index, recipes = load_world(context)
    planned, watchers = split_options(options or ())
    request = PlanRequest(
        policy=policy,
        slots=slots,
        uses=choices.parse_uses(
            uses,
            environment=environment,
            task=task,
            host=host,
            features=features,
            network=network,
            critic=critic,
            masks=masks,
            loss=loss,
        ),
        options=planned,
        envs=envs,
        epochs=epochs,
        workers=workers,
        updates=updates,
        seed=seed,
        device=device,
        threads=threads,
        precision=precision,
    )
    plan = make_plan(request, index, recipes)
    watching = choose_observers(index, recipes, observe or (), watchers, tensorboard=not no_tensorboard)
    if dry_run:
        print_json(plan.to_json(), indent=None if as_json else 2)
        return
    _train(plan, index, watching, out, plain=plain, as_json=as_json)


def _train(
    plan: Plan, index: Index, watching: Sequence[tuple[Component, Any]], out: Path, *, plain: bool, as_json: bool
) -> None:
    from esper_core.runs.directory import check_writable

    check_writable(out)
    # stdout is for the result alone: whatever plugins print goes elsewhere when it is read by a machine.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        run, lines = _run(plan, index, watching, out, plain=plain or as_json)
    if not as_json:
        _print_result(run.path, lines)
        return
    last = lines[-1]
    print_json(
        {
            "run": str(run.path),
            "updates": last["update"],
            "environment_steps": last["environment_steps"],
            "parameters": run.record["parameters"],
            "metrics": last,
        }
    )


def _run(
    plan: Plan, index: Index, watching: Sequence[tuple[Component, Any]], out: Path, *, plain: bool
) -> tuple[RunDirectory, list[dict[str, Any]]]:
    """Train, and return the run with its metrics lines.

    Raises:
        Interrupted: SIGINT or SIGTERM arrived; the update in flight is lost, the message says what is kept.
    """
    from esper_core.runs.directory import RunDirectory
    from esper_core.runs.observers import Observers

    run: RunDirectory | None = None
    trainer: Trainer | None = None
    observers = Observers.build(watching, index)
    lines: list[dict[str, Any]] = []
    try:
        from esper_core.learning.session import open_session
        from esper_core.runs.checkpoint import save_checkpoint

        trainer = open_session(plan, index)
        parameters = sum(p.numel() for p in trainer.policy.parameters())
        run = RunDirectory.create(out, plan, index, {"parameters": parameters, "device": str(trainer.device)})
        with follow(trainer, plan, plain=plain) as progress, observers.watching(run, progress.warn):
            for update in trainer.run(plan.updates, on_step=progress.on_step):
                run.append_events(update)
                lines.append(run.append_metrics(update))
                save_checkpoint(run, trainer, update)
                observers.on_update(update)
                progress.on_update(update)
                for warning in update.warnings:
                    if warning.since == update.index:
                        progress.warn(warning.message)
    except (KeyboardInterrupt, Terminated) as error:
        stopped = Interrupted(f"Stopped in update {len(lines) + 1} of {plan.updates}. {_kept(run)}")
        stopped.exit_code = error.exit_code if isinstance(error, Terminated) else Interrupted.exit_code
        raise stopped from error
    except EsperError as error:
        if run is not None:
            error.hint = " ".join(filter(None, (error.hint, _kept(run))))
        raise
    finally:
        if trainer is not None:
            trainer.environment.close()
    return run, lines


def _kept(run: RunDirectory | None) -> str:
    from esper_core.runs.checkpoint import list_checkpoints

    checkpoints = list_checkpoints(run) if run is not None else []
    return f"The last checkpoint is {checkpoints[-1]}." if checkpoints else "There is no checkpoint yet."


def _print_result(path: Path, lines: list[dict[str, Any]]) -> None:
    """Say what came of a run: first and last quarter of its updates, where there are enough."""
    last, quarter = lines[-1], max(1, len(lines) // 4)
    seconds = sum(line["timing"]["seconds"] for line in lines)
    typer.echo(f"\n{last['update']} updates, {last['environment_steps']:,} environment steps in {duration(seconds)}")
    labels = (
        ("committed_accuracy", "grown hosts", "validation accuracy with what was made permanent"),
        ("static_accuracy", "static host", "the same hosts when nothing is grown"),
        ("gain", "gain", "grown minus static"),
        ("return", "return", "gain minus rent and the price of operations"),
    )
    for key, label, meaning in labels:
        values = [line[key] for line in lines if line.get(key) is not None]
        if not values:
            continue
        begun, ended = statistics.fmean(values[:quarter]), statistics.fmean(values[-quarter:])
        change = f"{begun:6.3f} → {ended:.3f}" if len(lines) >= 4 else f"{ended:6.3f}"
        typer.echo(f"  {label:12} {change}   {meaning if 'static_accuracy' in last else ''}".rstrip())
    if len(lines) >= 4:
        typer.echo("  (mean of the first quarter of the updates → mean of the last)")
    typer.echo(f"\nThe run lies in {path}\nLook further: {_program()} runs show {path}")


def _program() -> str:
    """Return what to type for this command: its path where a shell would not find it by name."""
    if shutil.which("esper") is None and Path(sys.argv[0]).name == "esper":
        return sys.argv[0]
    return "esper"
