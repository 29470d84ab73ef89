"""`esper matrix`: which components are said to fit together, and which really do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from esper_core.cli import choices
from esper_core.cli.installed import load_installed
from esper_core.cli.output import print_json, print_table, say, status_line
from esper_core.composition.plan import DEFAULTS
from esper_core.composition.recipes import Recipes
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import Interrupted, Terminated, UserError, did_you_mean
from esper_core.contracts.slots import SlotConfig
from esper_core.registry.index import Index
from esper_testing.beside import choose_beside
from esper_testing.commands.spike import parse_slot_counts
from esper_testing.matrix.cell import KINDS, Cell, choose, make_cells
from esper_testing.matrix.verdict import Matrix


def matrix(
    context: typer.Context,
    slots: Annotated[str | None, typer.Option(help="Slot counts, such as 3,5; 3.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=NAME",
            help="Combine this component only; once more for another of its kind.",
            rich_help_panel=choices.COMPONENTS,
        ),
    ] = None,
    kinds: choices.kinds(*KINDS) = None,  # type: ignore[valid-type]
    uses: choices.Uses = None,
    options: choices.Options = None,
    seed: choices.Seed = None,
    full: Annotated[bool, typer.Option("--full", help="Test all cells, not only enough to cover every pair.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Combine features, networks, critics, masks and losses: predict, build, train for one update, compare."""
    index, recipes = load_installed(context)
    shared = choices.parse_uses(uses, kinds)
    for kind in map(normalise_name, shared):
        if kind in KINDS:
            raise UserError(f"The matrix combines every {kind}.", hint=f"Restrict it: --only {kind}=NAME.")
    chosen = choose_beside(index, recipes, "environment", shared.pop("environment", None))
    cells = make_cells(
        index,
        recipes,
        environment=chosen,
        slots=parse_slot_counts(slots) if slots is not None else _usual_slots(recipes),
        only=_parse_only(only or ()),
        uses=shared,
        options=options or (),
        seed=seed,
    )
    tested, started = choose(cells, full=full), time.perf_counter()
    stopped: Interrupted | None = None
    try:
        _test(tested, index, recipes)
    except (KeyboardInterrupt, Terminated) as error:
        known = sum(cell.agreement is not None for cell in tested)
        stopped = Interrupted(f"Stopped after {known} of {len(tested)} cells.")
        stopped.exit_code = getattr(error, "exit_code", stopped.exit_code)
    result = Matrix(chosen.key, cells, time.perf_counter() - started)
    _print(result, as_json)
    if stopped is not None:
        raise stopped
    raise typer.Exit(result.exit_code)


def _usual_slots(recipes: Recipes) -> tuple[int, ...]:
    slots, drawn = SlotConfig.parse_drawn(recipes.settings.get("slots", DEFAULTS["slots"]))
    return drawn or (slots.num_slots,)


def _parse_only(texts: Sequence[str]) -> dict[str, list[str]]:
    """Read `KIND=NAME` restrictions; raises UserError."""
    only: dict[str, list[str]] = {}
    for text in texts:
        kind, equals, name = text.partition("=")
        kind = normalise_name(kind)
        if not (equals and kind and name.strip()):
            raise UserError(f"--only {text} cannot be read.", hint="Write --only critic=state-value, for example.")
        if kind not in KINDS:
            guess = did_you_mean(kind, KINDS)
            raise UserError(f"The matrix combines no {kind}.{guess}", hint=f"It combines {', '.join(KINDS)}.")
        only.setdefault(kind, []).append(name.strip())
    return only


def _test(cells: Sequence[Cell], index: Index, recipes: Recipes) -> None:
    from esper_testing.matrix.trial import try_cell

    with status_line() as tell:
        for number, cell in enumerate(cells, start=1):
            names = ", ".join(f"{column} {value}" for column, value in cell.row.items())
            tell(f"testing {number} of {len(cells)}: {names}")
            cell.measurement = try_cell(cell, index, recipes)


def _print(result: Matrix, as_json: bool) -> None:
    if as_json:
        print_json(result.to_json())
        return
    rows = [_shown(cell) for cell in result.cells]
    columns = ["slots", *KINDS]
    # What all cells share is said once, above the table.
    shared = {name: rows[0][name] for name in columns if len({row[name] for row in rows}) == 1}
    say(", ".join([result.environment.replace("/", " "), *(f"{name} {value}" for name, value in shared.items())]))
    say()
    header = [*(name for name in columns if name not in shared), "predicted", "measured", "agreement", "why"]
    print_table(header, [[row[name] for name in header] for row in rows])
    tested = len(result.cells) - result.untested
    say("", f"{result.colour}: {tested} of {len(result.cells)} cells tested in {result.seconds:.1f} s")


def _shown(cell: Cell) -> dict[str, str]:
    """Return a cell as texts by column."""
    measured = cell.measurement
    where = f"{measured.component}: " if measured.component else ""
    return {
        **{column: str(value) for column, value in cell.row.items()},
        "predicted": "fits" if cell.prediction.fits else "does not fit",
        "measured": measured.status,
        "agreement": cell.agreement or "-",
        "why": " ".join(filter(None, (cell.prediction.reason, f"{where}{measured.error}" if measured.error else ""))),
    }
