"""The cells of the matrix: one component per column, what is predicted, and what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Literal

from attrs import asdict, define, field, frozen
from attrs.validators import in_

from esper_core.composition.config import config_class, describe_options, parse_option
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import IncompatiblePlan, PluginError, Refused, UserError
from esper_core.registry.index import Component, Index
from esper_core.registry.resolve import absent_plugins, check_kind, resolve
from esper_core.system.shape import structured
from esper_testing.matrix.pairs import choose_pairwise, pairs

KINDS = ("features", "network", "critic", "masks", "loss")
"""Kinds that are combined; the columns of the matrix after `slots`."""

ENVS, EPOCHS = 2, 6
"""How little a cell is trained on: environments side by side, and steps of an episode."""

SMALL = {"epochs": EPOCHS, "workers": 1}
"""Options of environments that have them, so that a cell takes seconds."""

Status = Literal["works", "fails", "untested"]
Agreement = Literal["agrees", "over-claim", "under-claim"]


@frozen
class Prediction:
    """What planning says.

    Attributes:
        fits: Nothing that the components declare speaks against it.
        reason: Why not, or empty.
    """

    fits: bool
    reason: str = ""


@frozen
class Measurement:
    """What came of building a cell and training it for one update.

    Attributes:
        status: Whether it worked; 'untested' when nobody tried.
        error: What went wrong, or empty.
        component: `kind/name` of the component in which it went wrong, or empty where that is unknown.
    """

    status: Status
    error: str = ""
    component: str = ""
    seconds: float = 0.0


UNTESTED = Measurement("untested")


@frozen
class _Measured:
    """The shape of a measurement in a shard."""

    status: str = field(validator=in_(("works", "fails")))
    error: str
    component: str
    seconds: float


def measured(result: Any) -> Measurement:
    """Return a measurement that was read from a shard; raises ValueError where it has another shape."""
    return Measurement(**asdict(structured(_Measured, result)))


@define
class Cell:
    """One combination.

    Attributes:
        row: What it combines by column: the slot count under `slots`, and a name per kind, which is written
            `distribution:name` where two distributions provide one of this name.
        components: The combined components by kind.
    """

    row: Mapping[str, int | str]
    components: Mapping[str, Component]
    request: PlanRequest
    prediction: Prediction
    measurement: Measurement = field(default=UNTESTED)

    @property
    def name(self) -> str:
        """What it combines, on a line; no other cell of a matrix combines the same."""
        return ", ".join(f"{column} {value}" for column, value in self.row.items())

    @property
    def agreement(self) -> Agreement | None:
        """Whether prediction and measurement agree; None where nothing was measured."""
        if self.measurement.status == "untested":
            return None
        works = self.measurement.status == "works"
        if works == self.prediction.fits:
            return "agrees"
        return "under-claim" if works else "over-claim"


def plan_cell(cell: Cell, index: Index, recipes: Recipes) -> Plan:
    """Return the plan of a cell, whatever its components say about each other's capabilities.

    Raises:
        EsperError: it cannot be planned even so.
    """
    return make_plan(cell.request, index, recipes, despite_capabilities=True)


def make_cells(
    index: Index,
    recipes: Recipes,
    *,
    environment: Component,
    slots: Sequence[int],
    only: Mapping[str, Sequence[str]],
    uses: Mapping[str, str],
    options: Sequence[str],
    seed: int | None,
) -> list[Cell]:
    """Return every combination with its prediction.

    Args:
        index: What is installed.
        recipes: The registry file; its policies are not used, for a cell says itself what it is made of.
        environment: The environment of all cells.
        slots: Slot counts.
        only: Names of the components to combine by kind; of all other kinds all are, but for those that are
            `only_by_name` and that the environment does not name in its defaults.
        uses: Components of further kinds, the same in all cells: kind → name.
        options: Settings; one that names a component concerns only the cells that hold it.
        seed: Seed of all cells.

    Raises:
        UserError: a kind of which nothing is installed, or a name or an option that means nothing.
    """
    columns = {kind: _components(index, recipes, kind, only.get(kind), environment) for kind in KINDS}
    known = {row.key for row in describe_options(config_class(environment))}
    small = [f"environment.{key}={value}" for key, value in SMALL.items() if key in known]
    scoped = [_Scoped.read(text, columns, index) for text in options]
    cells = []
    for count, chosen in product(slots, product(*columns.values())):
        components = dict(zip(columns, chosen, strict=True))
        names = {kind: _label(component, columns[kind]) for kind, component in components.items()}
        request = PlanRequest(
            slots=str(count),
            uses={
                **uses,
                "environment": environment.qualified,
                **{kind: component.qualified for kind, component in components.items()},
            },
            options=[*small, *(option.text for option in scoped if option.concerns(components))],
            envs=ENVS,
            updates=1,
            seed=seed,
            device="cpu",
        )
        cells.append(Cell({"slots": count, **names}, components, request, predict(request, index, recipes)))
    return cells


def predict(request: PlanRequest, index: Index, recipes: Recipes) -> Prediction:
    """Return what planning says. A plugin that breaks while it is planned with has not said that it does not fit."""
    try:
        make_plan(request, index, recipes)
    except (IncompatiblePlan, Refused) as error:
        return Prediction(False, error.message)
    except PluginError:
        pass
    return Prediction(True)


def choose(cells: Sequence[Cell], *, full: bool) -> list[Cell]:
    """Return the cells to test: all, or so many that every pair meets.

    A pair is tested where everything fits, if there is such a cell: elsewhere a failure could hide behind another.
    """
    if full:
        return list(cells)
    chosen: list[Cell] = []
    met: set[Any] = set()
    for fits in (True, False):
        group = [cell for cell in cells if cell.prediction.fits is fits]
        chosen += [group[number] for number in choose_pairwise([cell.row for cell in group], met)]
        met.update(*(pairs(cell.row) for cell in group))
    return [cell for cell in cells if any(cell is other for other in chosen)]


def _components(
    index: Index, recipes: Recipes, kind: str, names: Iterable[str] | None, environment: Component
) -> tuple[Component, ...]:
    check_kind(index, kind)
    if names is None:
        usual = environment.spec.defaults.get(kind)
        found = [c for c in index.of_kind(kind) if not c.spec.only_by_name or c.name == usual]
    else:
        found = [resolve(index, kind, name, recipes.pins) for name in names]
    if not found:
        raise UserError(f"No {kind} is installed, so there is nothing to combine.", hint=absent_plugins(index))
    return tuple({component.qualified: component for component in found}.values())


def _label(component: Component, column: Sequence[Component]) -> str:
    shared = sum(other.name == component.name for other in column) > 1
    return component.qualified if shared else component.name


@frozen
class _Scoped:
    """An option, and the component it names; without one it concerns every cell."""

    text: str
    component: Component | None

    @classmethod
    def read(cls, text: str, columns: Mapping[str, Sequence[Component]], index: Index) -> _Scoped:
        option = parse_option(text)
        if option.kind not in columns or option.name is None:
            return cls(text, None)
        return cls(text, resolve(index, option.kind, option.name))

    def concerns(self, components: Mapping[str, Component]) -> bool:
        return self.component is None or self.component in components.values()
