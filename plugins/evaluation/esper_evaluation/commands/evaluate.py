"""`esper evaluate`: what a trained policy is worth, beside rules and schedules that learn nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from attrs import asdict

from esper_core.cli import completion, document
from esper_core.cli.frame import bar
from esper_core.cli.installed import load_installed
from esper_core.cli.output import duration, kept, number, print_json, print_table, say, status_line
from esper_core.cli.stopping import stopping_promptly
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import describe_plan
from esper_core.contracts.errors import Interrupted, Terminated
from esper_core.registry.index import Index
from esper_core.runs.directory import find_run
from esper_core.system.printable import visible_line
from esper_evaluation.arms import POLICY, Arm, choose_arms
from esper_evaluation.entrants import Entrant, choose_entrants, search_batches, training_episodes

if TYPE_CHECKING:
    from esper_evaluation.comparison import Comparison, Contrast
    from esper_evaluation.contest import Played
    from esper_evaluation.statistics import Estimate

SECONDS_BETWEEN_LINES = 10.0
BAR = 24
FIGURE_FILE = "comparison.png"


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
    instances: Annotated[int, typer.Option(help="Held-out instances that each arm plays.", min=2, max=1_000_000)] = 20,
    search_episodes: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Episodes of the search for best-fixed; as many as the policy was trained with.", min=1
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="WORD", help="Compare within groups of instances too, such as by host.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory of runs.")] = Path("runs"),
    device: Annotated[str | None, typer.Option(help="torch device; the run's own without it.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines instead of a progress bar and a table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a trained policy with rules and schedules, on instances that no training draws.

    All arms play the same instances from the same beginnings. Numbers are interquartile means over instances and
    policy seeds, with 95 % bootstrap intervals. One contrast is declared before any result: `policy` minus the best
    rule, by the environment's first outcome.

    Arms are all installed rules that can play the environment (static, random, plateau, …), and:

    \b
        policy          actions drawn at random, as in training
        policy-greedy   always the most probable action
        random-matched  the policy's operations, shuffled in time; all else random
        best-fixed      the best schedule that looks at nothing: random search on
                        training instances, as many steps as the policy had
        replay          what policy-greedy made permanent, there from the start

    Episodes already played are kept in the first run's folder, and not played again.
    """  # noqa: D301
    index, recipes = load_installed(context)
    entrants = choose_entrants([find_run(name, out) for name in runs], at)
    plan = entrants[0].plan
    environment = find_planned(index, plan.component("environment"))
    names = None if arms is None else [name for name in arms.split(",") if name.strip()]
    chosen = choose_arms(names, index, describe_plan(plan, index), environment, recipes.pins)
    batches = search_batches(entrants, search_episodes)
    played = _play(entrants, index, chosen, instances, batches, device, by, plain=plain or as_json)
    comparison, picture = _compare(chosen, entrants, index, played, by)
    for note in played.notes:
        say(f"warning: {note}", err=True)
    with kept(f"Every episode is kept in {played.folder}; the same command plays none of them again."):
        if as_json:
            print_json(_document(comparison, entrants, played, picture))
        else:
            _print(comparison, chosen, entrants, played, picture, plain)


def _play(
    entrants: tuple[Entrant, ...],
    index: Index,
    arms: tuple[Arm, ...],
    instances: int,
    batches: int,
    device: str | None,
    by: str | None,
    *,
    plain: bool,
) -> Played:
    """Play what is missing; raises Interrupted, saying what is kept."""
    told: list[str] = []

    def stopped() -> Interrupted:
        where = f" after {told[-1]}" if told else ""
        return Interrupted(
            f"Stopped{where}. Every batch of episodes that was finished is kept.",
            hint="The same command goes on from there.",
        )

    with stopping_promptly(lambda: str(stopped())):
        try:
            from esper_evaluation.contest import Contest

            contest = Contest(entrants, index, device=device, by=by)
            try:
                if contest.set_aside:
                    say(contest.set_aside, err=True)
                with _showing(told, plain=plain) as show:
                    return contest.run(arms, instances, batches, show)
            finally:
                contest.close(lambda problem: say(f"warning: {problem}", err=True))
        except (KeyboardInterrupt, Terminated) as error:
            interrupted = stopped()
            interrupted.exit_code = error.exit_code if isinstance(error, Terminated) else Interrupted.exit_code
            raise interrupted from error


@contextmanager
def _showing(told: list[str], *, plain: bool) -> Iterator[Callable[[float, int, str], None]]:
    """Yield what shows how many episodes are played: a bar on a terminal, a line every few seconds elsewhere."""
    drawn = not plain and sys.stderr.isatty()
    begun = time.monotonic()
    last = float("-inf")

    def show(done: float, total: int, what: str) -> None:
        nonlocal last
        told[:] = [f"{int(done)} of {total} episodes"]
        now = time.monotonic()
        if now - last < (0.1 if drawn else SECONDS_BETWEEN_LINES) and done < total:
            return
        last = now
        left = f"  ETA {duration((now - begun) * (total - done) / done)}" if done > 0 else ""
        line = f"{told[0]}{left}  {what}"
        tell(f"{bar(done / total if total else 1.0, BAR, '─')} {line}" if drawn else line)

    with status_line(drawn=drawn) as tell:
        yield show


def _compare(
    arms: tuple[Arm, ...], entrants: tuple[Entrant, ...], index: Index, played: Played, by: str | None
) -> tuple[Comparison, Path]:
    from esper_evaluation.comparison import compare
    from esper_evaluation.figure import draw

    outcomes = describe_plan(entrants[0].plan, index).outcomes
    comparison = compare(arms, outcomes, played.values, played.instances, played.seeds, played.tags, by)
    picture = played.folder / FIGURE_FILE
    draw(comparison, [arm.name for arm in arms if arm.learned], picture)
    return comparison, picture


def _document(comparison: Comparison, entrants: tuple[Entrant, ...], played: Played, picture: Path) -> dict[str, Any]:
    search = None
    if played.found is not None:
        search = {key: value for key, value in asdict(played.found).items() if key != "rows"}
        search["training_episodes"] = training_episodes(entrants)
    return {
        **comparison.to_json(),
        "runs": [str(entrant.run.shown()) for entrant in entrants],
        "checkpoints": [entrant.header.update for entrant in entrants],
        "search": search,
        "played": played.played,
        "records": str(entrants[0].run.shown(played.folder)),
        "figure": str(entrants[0].run.shown(picture)),
    }


def _print(
    comparison: Comparison,
    arms: tuple[Arm, ...],
    entrants: tuple[Entrant, ...],
    played: Played,
    picture: Path,
    plain: bool,
) -> None:
    _print_table(comparison, [outcome.name for outcome in comparison.outcomes], comparison.arms, plain)
    first = comparison.outcomes[0]
    seeds = ", ".join(f"{e.seed} (update {e.header.update})" for e in entrants)
    say(
        "",
        f"IQM [95 % interval] over {len(comparison.instances)} held-out instances"
        f"{f' and policy seeds {seeds}' if any(arm.learned for arm in arms) else ''}; * is the best rule.",
    )
    if comparison.groups:
        _print_groups(comparison, first.name, plain)
    if comparison.primary is not None and comparison.mean is not None:
        say(_verdict(comparison.primary, comparison.mean, first.name))
    if comparison.oracle_gap is not None:
        words = ", ".join(comparison.told_apart_by)
        noise = ", which is within the noise" if comparison.oracle_gap.low <= 0.0 else ""
        say(
            f"Choosing among the rules by what is known of an instance ({words}) would bring "
            f"{_between(comparison.oracle_gap, signed=True)} on average{noise}."
        )
    if comparison.primary is not None and len(comparison.seeds) == 1:
        say("One policy seed: the intervals say nothing about what another seed would have given.")
    if played.found is not None:
        found, trained = played.found, training_episodes(entrants)
        say(
            f"best-fixed is the best of {found.candidates} schedules after {found.searched} episodes of search; "
            f"a policy was trained with {trained}."
        )
    run = entrants[0].run
    say("", f"Episodes lie in {run.shown(played.folder)}", f"A picture of this: {run.shown(picture)}")


def _verdict(primary: Contrast, mean: Contrast, outcome: str) -> str:
    words = {
        "better": f"The policy is better than the best rule, {primary.rule}",
        "worse": f"The policy is worse than the best rule, {primary.rule}",
        "no difference shown": f"No difference shown between the policy and the best rule, {primary.rule}",
    }
    other = "" if mean.rule == primary.rule else f" to {mean.rule}, the best rule by its mean,"
    return (
        f"{words[primary.verdict]}: {outcome} {_between(primary.delta, signed=True)}; "
        f"mean of the paired differences{other} {_between(mean.delta, signed=True)}."
    )


def _print_groups(comparison: Comparison, outcome: str, plain: bool) -> None:
    columns = {f"{name} ({group.instances})": group for name, group in comparison.groups.items()}
    arms = {arm: {column: group.arms[arm][outcome] for column, group in columns.items()} for arm in comparison.arms}
    say("", f"{outcome} by group of instances, and how many these are:", "")
    _print_table(comparison, list(columns), arms, plain)
    say()


def _print_table(
    comparison: Comparison, columns: Sequence[str], arms: Mapping[str, Mapping[str, Estimate]], plain: bool
) -> None:
    """Print a line per arm; on a terminal as a table whose best rule and policy stand out."""
    header = ["arm", *columns]
    rows = [
        [f"{arm} *" if arm == comparison.best_rule else arm, *(_between(estimates[name]) for name in header[1:])]
        for arm, estimates in arms.items()
    ]
    stream = document.stream()
    if plain or not stream.isatty():
        print_table(header, rows)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(Text(visible_line(name)))
    for arm, row in zip(arms, rows, strict=True):
        cells = [Text(visible_line(cell)) for cell in row]
        table.add_row(*cells, style="bold" if arm in (POLICY, comparison.best_rule) else None)
    console = Console(file=stream, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    document.write(drawn.get())


def _between(estimate: Estimate, *, signed: bool = False) -> str:
    value = f"{estimate.value:+.4g}" if signed else number(estimate.value)
    return f"{value} [{number(estimate.low)}, {number(estimate.high)}]"
