"""`esper spike`: questions about an architecture, answered with a verdict."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from esper_core.cli import choices, completion, sharding
from esper_core.cli.installed import load_installed
from esper_core.cli.output import kept, number, print_json, print_table, say
from esper_core.composition.plan import PlanRequest
from esper_core.contracts.errors import Interrupted, SlotIdError, Terminated, UserError
from esper_core.contracts.slots import SlotConfig
from esper_core.registry.index import Index
from esper_core.registry.resolve import resolve
from esper_core.runs.shards import Share
from esper_testing.api import Shared, ask, share_out
from esper_testing.commands.progress import progress
from esper_testing.spikes.report import check_writable, grouped, shown, write_report
from esper_testing.spikes.verdict import CheckResult, Failure, ProbeResult, Verdict

SHOWN_FAILURES = 8


def list_spikes(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the installed spikes."""
    index, _ = load_installed(context)
    spikes = index.of_kind("spike")
    if as_json:
        rows = [
            {"name": s.name, "distribution": s.distribution, "version": s.version, "summary": s.spec.summary}
            for s in spikes
        ]
        print_json(rows)
        return
    width = max((len(spike.name) for spike in spikes), default=0)
    for spike in spikes:
        say(f"{spike.name:{width}}  {spike.spec.summary}  ({spike.origin})")
    if not spikes:
        say("No spikes are installed.")


def run_spike(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The spike.", autocompletion=completion.components("spike"))
    ],
    policy: choices.Policy = None,
    slots: Annotated[str | None, typer.Option(help="Slot counts, such as 1,2,5; the spike's own without it.")] = None,
    kinds: choices.Kinds = None,
    uses: choices.Uses = None,
    options: choices.Options = None,
    seed: choices.Seed = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run this part alone, such as P7 or 'entropy'.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Ask less, to be done sooner.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Write a Markdown report of what was measured.")
    ] = None,
    shard: sharding.Shard = None,
    merge: sharding.Merge = False,
    folder: sharding.Folder = Path("shards"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a spike on a policy; exit with 5 when its verdict is RED.

    GREEN: every declared check ran and passed. YELLOW: some were skipped, are expected to fail, or failed only where
    the architecture meets its surroundings. RED: a check of the architecture failed, or one did not run.

    `esper spike list` shows the spikes. A policy is a recipe of registry.toml or a network; single components are
    replaced with --critic, --use and so on.

    \b
        esper spike run ppo-probes --shard 1/2    half of it, into a file in the folder shards
        esper spike run ppo-probes --merge        the verdict on all shards
    """  # noqa: D301
    share = sharding.parse_share(shard, merge)
    if share is not None and report is not None:
        raise UserError("A shard has no verdict to report on.", hint="Write the report with --merge.")
    index, recipes = load_installed(context)
    component = resolve(index, "spike", name, recipes.pins)
    counts = parse_slot_counts(slots) if slots is not None else None
    request = PlanRequest(
        policy=policy,
        slots=str(counts[0]) if counts else None,
        uses=choices.parse_uses(uses, kinds),
        options=options or (),
        seed=seed,
    )
    path = None if report is None else report.absolute()
    if path is not None:
        check_writable(path)
    numbers = itertools.count(1)
    with progress() as show:

        def said(result: CheckResult) -> None:
            show(result.category, f"{next(numbers)} checks, {result.category}: {result.check}")

        if share is not None or merge:
            shared = share_out(component, request, index, recipes, folder, slots=counts, only=only, quick=quick)
            if share is not None:
                _do_share(shared, share, index, said, as_json)
                return
            verdict = shared.merge()
        else:
            verdict = ask(component, request, index, recipes, slots=counts, only=only, quick=quick, on_result=said)
    if path is not None:
        write_report(verdict, path, shlex.join(["esper", *sys.argv[1:]]))
    with kept(f"The report is kept in {report}." if report is not None else ""):
        if as_json:
            print_json(verdict.to_json())
        else:
            print_verdict(verdict)
            if report is not None:
                say(f"The report is {report}")
    raise typer.Exit(verdict.exit_code)


def _do_share(
    shared: Shared, share: Share, index: Index, on_result: Callable[[CheckResult], None], as_json: bool
) -> None:
    try:
        done = shared.do(share, index, on_result)
    except (KeyboardInterrupt, Terminated) as error:
        stopped = Interrupted("Stopped.", hint="Every part that was done is kept; the same command goes on.")
        stopped.exit_code = getattr(error, "exit_code", stopped.exit_code)
        raise stopped from error
    if as_json:
        print_json(done.to_json())
    else:
        say(done.line("parts"), "When all are done: the same command with --merge.")


def parse_slot_counts(text: str) -> tuple[int, ...]:
    """Read slot counts such as `1,2,5`; raises SlotIdError."""
    counts = []
    for part in text.split(","):
        if not part.strip().lstrip("+-").isdecimal():
            raise SlotIdError(f"'{part.strip()}' is not a slot count.", hint="Use --slots 1,2,5, for example.")
        counts.append(SlotConfig.parse(part).num_slots)
    return tuple(dict.fromkeys(counts))


def print_verdict(verdict: Verdict) -> None:
    """Print a verdict: one line per category or probe, the failures, and the colour."""
    counts = f", slots {', '.join(map(str, verdict.slots))}" if verdict.slots else ""
    say(f"{verdict.spike} on {verdict.policy}{counts}", "")
    if verdict.probes:
        _print_probes(verdict.probes)
    else:
        _print_categories(verdict)
    _print_failures(verdict.failures)
    for blocker in verdict.blockers:
        users = f"{len(blocker.consumers)} other line{'s' * (len(blocker.consumers) != 1)} to follow"
        say("", f"  blocker: {shown(blocker.file)}:{blocker.line}")
        say(f"    {blocker.description}")
        say(f"    {blocker.kind}; complexity {blocker.complexity}, {users}")
    skipped = Counter(skip.reason for skip in verdict.skips)
    if skipped:
        say()
    for reason, count in skipped.items():
        say(f"  {count} skipped: {reason}")
    say("", f"{verdict.colour} after {verdict.seconds:.1f} s")


def _print_failures(failures: Sequence[Failure]) -> None:
    """Print failures; of many only some."""
    groups = grouped(failures)
    for failure, slots in groups[:SHOWN_FAILURES]:
        where = f", slots {', '.join(map(str, slots))}" if slots else ""
        name = failure.check.partition("[")[0] if slots else failure.check
        say("", f"  {name}{where}: {failure.message}", f"    {failure.file}:{failure.line}")
    if len(groups) > SHOWN_FAILURES:
        say("", f"  {len(groups) - SHOWN_FAILURES} more such failures; --json and --report list all")


def _print_probes(probes: Sequence[ProbeResult]) -> None:
    rows = [
        (probe.name, "passed" if probe.passed else "FAILED", f"{probe.seconds:.1f}", _ranges(probe), probe.expected)
        for probe in probes
    ]
    print_table(("probe", "", "seconds", "measured", "expected"), rows)


def _ranges(probe: ProbeResult) -> str:
    """Return the lowest and the highest measurement of every quantity, as text."""
    texts = []
    for quantity, runs in probe.measured.items():
        known = sorted({number(value) for value in runs if value is not None}, key=float)
        texts.append(f"{quantity} {' … '.join(dict.fromkeys((known[0], known[-1]))) if known else '-'}")
    return ", ".join(texts)


def _print_categories(verdict: Verdict) -> None:
    width = max((len(category.name) for category in verdict.categories), default=0)
    for category in verdict.categories:
        notes = [f"{category.failed} failed"] * bool(category.failed)
        notes += [f"{category.skipped} skipped"] * bool(category.skipped)
        notes += [f"{category.missing} did not run"] * bool(category.missing)
        line = f"  {category.name:{width}}  {category.passed} of {category.declared} passed"
        say(", ".join([line, *notes]))
