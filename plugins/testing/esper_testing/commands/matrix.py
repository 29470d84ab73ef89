"""`esper matrix`: which components are said to fit together, and which really do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import asdict

from esper_core.cli import choices, sharding
from esper_core.cli.installed import load_installed
from esper_core.cli.output import print_json, print_table, say, status_line
from esper_core.composition.plan import DEFAULTS
from esper_core.composition.recipes import Recipes
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import Interrupted, Terminated, UserError, did_you_mean
from esper_core.contracts.slots import SlotConfig
from esper_core.registry.index import Index
from esper_core.runs.shards import Shards, Share
from esper_testing.beside import choose_beside
from esper_testing.commands.spike import parse_slot_counts
from esper_testing.matrix.cell import KINDS, Cell, choose, make_cells, measured
from esper_testing.matrix.verdict import Matrix
from esper_testing.surroundings import surroundings


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
    shard: sharding.Shard = None,
    merge: sharding.Merge = False,
    folder: sharding.Folder = Path("shards"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Combine features, networks, critics, masks and losses: predict, build, train for one update, compare.

    \b
        esper matrix --full                both of the next, in one process
        esper matrix --full --shard 1/2    half of it, into a file in the folder shards
        esper matrix --full --merge        all shards together, without torch
    """  # noqa: D301
    share = sharding.parse_share(shard, merge)
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
    if share is not None or merge:
        asked = {
            "environment": chosen.key,
            "uses": shared,
            "options": list(options or ()),
            "seed": seed,
            "cells": [cell.name for cell in tested],
        }
        shards = Shards(folder, folder, "this matrix", asked)
        if share is not None:
            _do_share(tested, share, shards, index, recipes, as_json)
            return
        for cell, what in zip(tested, shards.results([cell.name for cell in tested], measured).values(), strict=True):
            cell.measurement = measured(what)
        result = Matrix(chosen.key, cells, sum(cell.measurement.seconds for cell in tested))
        _print(result, as_json)
        raise typer.Exit(result.exit_code)
    stopped: Interrupted | None = None
    try:
        for _ in _test(tested, index, recipes):
            pass
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


def _do_share(
    cells: Sequence[Cell], share: Share, shards: Shards, index: Index, recipes: Recipes, as_json: bool
) -> None:
    """Test a share of cells, and keep what comes of each."""
    by_name = {cell.name: cell for cell in cells}

    def work(names: Sequence[str]) -> Iterator[tuple[str, Any]]:
        for cell in _test([by_name[name] for name in names], index, recipes):
            yield cell.name, asdict(cell.measurement)

    under = surroundings(component for cell in cells for component in cell.components.values())
    try:
        done = shards.do(share, under, [*by_name], work, measured)
    except (KeyboardInterrupt, Terminated) as error:
        stopped = Interrupted("Stopped.", hint="Every cell that was tested is kept; the same command goes on.")
        stopped.exit_code = getattr(error, "exit_code", stopped.exit_code)
        raise stopped from error
    if as_json:
        print_json(done.to_json())
    else:
        say(done.line("cells"), "When all are done: the same command with --merge.")


def _test(cells: Sequence[Cell], index: Index, recipes: Recipes) -> Iterator[Cell]:
    """Test cells, and yield each when it is tested."""
    from esper_testing.matrix.trial import try_cell

    with status_line() as tell:
        for number, cell in enumerate(cells, start=1):
            tell(f"testing {number} of {len(cells)}: {cell.name}")
            cell.measurement = try_cell(cell, index, recipes)
            yield cell


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
