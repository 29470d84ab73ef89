"""`esper spike`: questions about an architecture, answered with a verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from esper_core.cli.output import print_json
from esper_core.cli.world import load_world
from esper_core.contracts.errors import EsperError, FactoryError, PluginError, SlotIdError
from esper_core.contracts.slots import SlotConfig
from esper_core.registry.config import structure_config
from esper_core.registry.index import Component
from esper_core.registry.plan import PlanRequest, make_plan
from esper_core.registry.references import load_reference
from esper_core.registry.resolve import resolve
from esper_core.spikes.verdict import Verdict

if TYPE_CHECKING:
    from esper_core.spikes.engine import CheckResult

app = typer.Typer(help="Ask what an architecture can do.", no_args_is_help=True)


@app.command("list")
def list_spikes(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed spikes."""
    index, _ = load_world(context)
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
        typer.echo(f"{spike.name:{width}}  {spike.spec.summary}  ({spike.origin})")
    if not spikes:
        typer.echo("No spikes are installed.")


@app.command("run")
def run_spike(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The spike.")],
    policy: Annotated[str | None, typer.Option(help="Policy to look at; the default policy without it.")] = None,
    slots: Annotated[str | None, typer.Option(help="Slot counts, such as 1,2,5; the spike's own without it.")] = None,
    options: Annotated[
        list[str] | None, typer.Option("-o", "--option", metavar="KIND.KEY=VALUE", help="Setting of a component.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a spike; exit with 5 when its verdict is RED."""
    index, recipes = load_world(context)
    component = resolve(index, "spike", name, recipes.pins)
    counts = parse_slot_counts(slots) if slots is not None else None
    request = PlanRequest(policy=policy, slots=str(counts[0]) if counts else None, options=options or ())
    plan = make_plan(request, index, recipes)
    spike = build_spike(component)
    with _progress() as on_result:
        verdict = spike.run(plan, index, slots=counts, on_result=on_result)
    if not isinstance(verdict, Verdict):
        raise PluginError(
            f"{component} breaks its contract: it returned a {type(verdict).__name__}, not a Verdict.",
            hint="Report this to the plugin's author.",
        )
    if as_json:
        print_json(verdict.to_json())
    else:
        typer.echo(describe_verdict(verdict))
    raise typer.Exit(verdict.exit_code)


def parse_slot_counts(text: str) -> tuple[int, ...]:
    """Read slot counts such as `1,2,5`; raises SlotIdError."""
    counts = []
    for part in text.split(","):
        if not part.strip().lstrip("+-").isdecimal():
            raise SlotIdError(f"'{part.strip()}' is not a slot count.", hint="Use --slots 1,2,5, for example.")
        counts.append(SlotConfig.parse(part).num_slots)
    return tuple(dict.fromkeys(counts))


def build_spike(component: Component) -> Any:
    """Return the spike a component names, with its default options.

    Raises:
        FactoryError: it cannot be imported or built.
        PluginError: it is no spike.
    """
    factory = load_reference(component.spec.factory, str(component))
    try:
        spike = factory(structure_config(component, {}), None)
    except EsperError:
        raise
    except Exception as error:
        raise FactoryError(
            f"{component} raised {type(error).__name__} while it was built: {error}.",
            hint="Use --debug for the traceback, and report it to the plugin's author.",
        ) from error
    if not callable(getattr(spike, "run", None)):
        raise PluginError(
            f"{component} breaks its contract: '{component.spec.factory}' made a {type(spike).__name__} without `run`.",
            hint="Report this to the plugin's author.",
        )
    return spike


def describe_verdict(verdict: Verdict) -> str:
    """Return a verdict as text: one line per category, the failures, and the colour."""
    counts = ", ".join(map(str, verdict.slots))
    lines = [f"{verdict.spike} on {verdict.policy}, slots {counts}", ""]
    width = max((len(category.name) for category in verdict.categories), default=0)
    for category in verdict.categories:
        notes = [f"{category.failed} failed"] * bool(category.failed)
        notes += [f"{category.skipped} skipped"] * bool(category.skipped)
        notes += [f"{category.missing} did not run"] * bool(category.missing)
        line = f"  {category.name:{width}}  {category.passed} of {category.declared} passed"
        lines.append(", ".join([line, *notes]))
    for failure in verdict.failures:
        lines += ["", f"  {failure.check}: {failure.message}", f"    {failure.file}:{failure.line}"]
    lines += ["", f"{verdict.colour} after {verdict.seconds:.1f} s"]
    return "\n".join(lines)


@contextmanager
def _progress() -> Iterator[Callable[[CheckResult], None]]:
    """Say on standard error what is being checked; on a terminal in one line that is rewritten and cleared."""
    terminal = sys.stderr.isatty()
    done = 0
    begun: set[str] = set()

    def show(result: CheckResult) -> None:
        nonlocal done
        done += 1
        if terminal:
            sys.stderr.write(f"\r\033[K{done} checks, {result.category}: {result.check}")
        elif result.category not in begun:
            sys.stderr.write(f"checking {result.category}\n")
        begun.add(result.category)
        sys.stderr.flush()

    try:
        yield show
    finally:
        if terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
