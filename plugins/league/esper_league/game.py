"""What a league plays: fixed when it is created, and compared by what it means. Torch is not imported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen

from esper_core.composition.config import structure_config, unstructure_config
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import DEFAULTS, Plan, describe_environment, describe_plan
from esper_core.contracts.errors import CheckpointMismatch, EsperError, IncompatiblePlan
from esper_core.contracts.plain import to_exact
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.tuples import as_tuple

if TYPE_CHECKING:
    from esper_core.contracts.state import EnvironmentDescription
    from esper_core.registry.index import Component, Index

ENVIRONMENT = "environment"
FIXED = (ENVIRONMENT, "masks")
"""Kinds that a league fixes, with whatever the environment draws on."""


class LeagueMismatch(CheckpointMismatch):
    """A run or a checkpoint is of another game than a league; the message holds the table of differences."""


@frozen
class Game:
    """What matches of a league are played in.

    Attributes:
        environment: `distribution:name` of the environment.
        options: Those of its options that decide what a match is, with their values, defaults included.
        slots: Slot ids; none where no action has to do with slots.
        actions: Digest of the actions.
        sides: Names of the two sides.
    """

    environment: str
    options: dict[str, Any]
    slots: tuple[str, ...] = field(converter=as_tuple)
    actions: str
    sides: tuple[str, ...] = field(converter=as_tuple)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return attrs.asdict(self)

    @property
    def digest(self) -> str:
        """Short digest of all that it means."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]


@frozen
class Difference:
    """One row of the table: what the league has, and what the other one has."""

    what: str
    league: str
    here: str

    @property
    def is_option(self) -> bool:
        """Whether it is a difference of options, in spite of which a policy can play."""
        return self.what.startswith(f"{ENVIRONMENT}.")


def game_of(plan: Plan, index: Index) -> Game:
    """Return what is played in the environment of a plan.

    An option counts unless its `option(..., matters=False)` says that no match depends on it. One that was added since
    has its default, and so changes nothing.

    Raises:
        UserError: the environment is not installed, or its options are not allowed here.
    """
    planned = plan.component(ENVIRONMENT)
    component = find_planned(index, planned)
    config = structure_config(component, planned.config)
    idle = {entry.name for entry in attrs.fields(type(config)) if not entry.metadata.get("matters", True)}
    options = {name: to_exact(value) for name, value in unstructure_config(config).items() if name not in idle}
    known = describe_plan(plan, index)
    slots = () if known.actions.slot is None else plan.slots
    return Game(component.qualified, options, slots, known.actions.digest, known.sides)


def check_sides(environment: Component, known: EnvironmentDescription, index: Index) -> None:
    """Check that an environment that describes itself like this has two sides; raises IncompatiblePlan."""
    if not known.sides:
        two = [component.name for component in index.of_kind(ENVIRONMENT) if _has_sides(component)]
        raise IncompatiblePlan(
            f"The {environment} does not have two sides, so nobody can play against anybody in it.",
            hint=f"Environments here that have: {', '.join(two) or 'none'}.",
        )


def describe_with_defaults(environment: Component) -> EnvironmentDescription:
    """Return what an environment is without any option; raises EsperError, as where it cannot be without one."""
    slots = SlotConfig.parse(DEFAULTS["slots"])
    return describe_environment(environment, structure_config(environment, {}), slots)


def _has_sides(environment: Component) -> bool:
    with suppress(EsperError):
        return bool(describe_with_defaults(environment).sides)
    return False


def differences(league: Game, other: Game) -> Iterator[Difference]:
    """Yield what differs between what a league plays and another game."""
    for what in ("environment", "slots", "actions", "sides"):
        there, here = getattr(league, what), getattr(other, what)
        if there != here:
            yield Difference(what, _shown(there), _shown(here))
    if league.environment == other.environment:
        # An option that only the other has was added since the league was created.
        for name, there in league.options.items():
            if there != (here := other.options.get(name)):
                yield Difference(f"{ENVIRONMENT}.{name}", _shown(there), _shown(here))


def mismatch(what: str, rows: Sequence[Difference], here: str, hint: str) -> LeagueMismatch:
    """Return the error that shows differences; `here` names the column of what does not fit."""
    table = [("", "league", here), *((row.what, row.league, row.here) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(2)]
    lines = [f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}".rstrip() for a, b, c in table]
    return LeagueMismatch("\n".join([what, *lines]), hint=hint)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)
