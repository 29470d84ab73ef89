"""`esper evaluate`: what a trained policy is worth, beside rules and schedules that learn nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TextIO

import typer

from esper_core.cli import choices, completion, document, sharding
from esper_core.cli.counting import counting
from esper_core.cli.installed import load_installed
from esper_core.cli.output import kept, print_json, print_table, say
from esper_core.cli.stopping import stopping_promptly
from esper_core.contracts.errors import Interrupted, Terminated, UserError
from esper_core.runs.brought import to_write
from esper_core.runs.directory import find_run
from esper_core.runs.shards import ShareDone
from esper_core.system.printable import visible_line
from esper_evaluation.evaluating import MIN_INSTANCES, evaluate_runs, evaluate_share, merge_shares
from esper_evaluation.evaluation import Evaluation, Table
from esper_evaluation.looked import without_record
from esper_evaluation.question import MAX_FRESH, ask


def evaluate(
    context: typer.Context,
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Paths, or the beginnings of names. Several are seeds of one policy.",
            autocompletion=completion.runs,
        ),
    ],
    at: Annotated[str, typer.Option(metavar="K", help="Checkpoint: last, best, or the number of an update.")] = "last",
    arms: Annotated[
        str | None, typer.Option(metavar="A,B", help="Arms that take part; all that apply without it.")
    ] = None,
    instances: Annotated[
        int, typer.Option(help="Held-out instances that each arm plays.", min=MIN_INSTANCES, max=1_000_000)
    ] = 20,
    fresh: Annotated[
        int | None,
        typer.Option(
            metavar="FROM",
            help="The first of them, of all held out, counted from 0; nobody may have looked at them before.",
            min=0,
            max=MAX_FRESH,
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Take them although somebody has; that is recorded.")] = False,
    primary: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="What decides: iqm, or paired-mean, to the best rule on training instances.",
            autocompletion=lambda: ["iqm", "paired-mean"],
        ),
    ] = "iqm",
    search_episodes: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Episodes of the search for best-fixed; as many as the policy was trained with.", min=1
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="WORD", help="Compare within groups of instances too, such as by host.")
    ] = None,
    slots: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Play with N slots, or with ids such as r0c0,r0c2, instead of those of training: all arms do. "
            "For networks whose weights fit any number of slots.",
        ),
    ] = None,
    uses: Annotated[
        list[str] | None,
        typer.Option(
            "--use",
            metavar="KIND=NAME",
            help="Play in another environment, or with another task or host, unlike in training: all arms do "
            "(repeatable). What the policy is made of stays.",
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("-o", "--option", metavar="KIND.KEY=VALUE", help="Set an option of where is played (repeatable)."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write a film of an episode, *.gif or *.mp4: of the first of --arms, or policy-greedy.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory of runs.")] = Path("runs"),
    device: Annotated[str | None, typer.Option(help="torch device; the run's own without it.")] = None,
    shard: sharding.Shard = None,
    merge: sharding.Merge = False,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines instead of a progress bar and a table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a trained policy with rules and schedules, on instances that no training draws.

    All arms play the same instances from the same beginnings. Numbers are
    interquartile means over instances and policy seeds, or means of what is
    won or lost, with 95 % bootstrap intervals. One contrast is declared before
    any result: `policy` minus the best rule, by the environment's first outcome.
    With --primary paired-mean that is the mean of the differences, kind by kind,
    to the rule that is best on training instances.

    Arms are all installed rules that can play the environment (static, random, plateau, …), and:

    \b
        policy          actions drawn at random, as in training
        policy-greedy   always the most probable action
        random-matched  the policy's operations, shuffled in time; all else random
        best-fixed      the best schedule that looks at nothing: random search on
                        training instances, as many steps as the policy had
        selector        the rule that a shallow tree chooses by what the instance is
                        of (how large, how many samples); fitted on training instances
        replay          what policy-greedy made permanent, there from the start

    Episodes already played are kept in the first run's folder, and not played again.

    \b
        esper evaluate RUN RUN RUN --fresh 1000 --instances 400 --primary paired-mean

    \b
        esper evaluate pretrained --slots 8 --use host=conv --use task=synthetic

    \b
        esper evaluate RUN --shard 1/2     half of it, into a file in RUN
        esper evaluate RUN --shard 2/2     the other half, on another machine
        esper evaluate RUN --merge         both together, without torch
    """  # noqa: D301
    share = sharding.parse_share(shard, merge)
    if record is not None and (share is not None or merge):
        raise UserError(
            "--record films where all is played by one machine.", hint="After --merge, leave it and --shard out."
        )
    index, recipes = load_installed(context)
    told: list[str] = []

    def stopped() -> Interrupted:
        where = f" after {told[-1]}" if told else ""
        return Interrupted(
            f"Stopped{where}. Every batch of episodes that was finished is kept.",
            hint="The same command goes on from there.",
        )

    question = ask(
        [to_write(find_run(name, out), out) for name in without_record(runs)],
        index,
        recipes,
        at=at,
        arms=None if arms is None else [name for name in arms.split(",") if name.strip()],
        instances=instances,
        search_episodes=search_episodes,
        fresh=fresh,
        primary=primary,
        again=again,
        slots=slots,
        uses=choices.parse_uses(uses),
        options=options or (),
    )
    evaluation: Evaluation | ShareDone
    with stopping_promptly(lambda: str(stopped())):
        try:
            with counting("episodes", told, plain=plain or as_json) as (show, warning):
                if merge:
                    evaluation = merge_shares(question, by=by)
                elif share is not None:
                    evaluation = evaluate_share(
                        question, index, share, by=by, device=device, on_progress=show, warn=warning
                    )
                else:
                    evaluation = evaluate_runs(
                        question,
                        index,
                        named=arms is not None,
                        by=by,
                        record=record,
                        device=device,
                        on_progress=show,
                        warn=warning,
                    )
        except (KeyboardInterrupt, Terminated) as error:
            interrupted = stopped()
            interrupted.exit_code = error.exit_code if isinstance(error, Terminated) else Interrupted.exit_code
            raise interrupted from error
    where = evaluation.path if isinstance(evaluation, ShareDone) else evaluation.records
    with kept(f"Every episode is kept in {where}; the same command plays none of them again."):
        if as_json:
            print_json(evaluation.to_json())
        elif isinstance(evaluation, ShareDone):
            say(evaluation.line("episodes"), "When all are done: the same command with --merge.")
        else:
            _print(evaluation, plain)


def _print(evaluation: Evaluation, plain: bool) -> None:
    stream = document.stream()
    for block in evaluation.blocks():
        if isinstance(block, str):
            say(block)
        elif plain or not stream.isatty():
            print_table(block.header, block.rows)
        else:
            _draw(block, stream)


def _draw(table: Table, stream: TextIO) -> None:
    """Print a table to a terminal; what is marked stands out."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in table.header:
        drawn.add_column(Text(visible_line(name)))
    for number, row in enumerate(table.rows):
        cells = [Text(visible_line(cell)) for cell in row]
        drawn.add_row(*cells, style="bold" if number in table.marked else None)
    console = Console(file=stream, highlight=False)
    with console.capture() as captured:
        console.print(drawn)
    document.write(captured.get())
