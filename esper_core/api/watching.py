"""Who watches a run: observers, chosen by name, and what shows a run to whoever started it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from esper_core.composition.config import Option, parse_option, structure_config
from esper_core.composition.recipes import Recipes
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import ConfigError, UserError
from esper_core.registry.index import Component, Index
from esper_core.registry.resolve import resolve
from esper_core.system.packages import has_package

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.learning.session import Session
    from esper_core.learning.trainer import StepProgress, Update
    from esper_core.runs.directory import RunDirectory

OBSERVER = "observer"
TENSORBOARD = "tensorboard"
"""Of core's own observers the one that watches unasked, where its package is installed."""

Observing = Sequence[tuple[Component, Any]]
"""Observers with their configs."""


class Viewer(Protocol):
    """Shows a run while it trains. What it raises ends the run after the last finished update."""

    def on_step(self, progress: StepProgress) -> None:
        """Show a step within an update."""

    def on_update(self, update: Update) -> None:
        """Show an update that has been written down."""

    def warn(self, message: str) -> None:
        """Show a line that stays."""


View = Callable[["Session", "Plan", "RunDirectory"], AbstractContextManager[Viewer]]
"""Makes a viewer of a run that is about to train."""


def split_options(options: Sequence[str | Option]) -> tuple[list[str | Option], list[str | Option]]:
    """Return the options that concern the plan, and those of observers, which no plan holds."""
    watchers = [option for option in options if normalise_name(str(option).partition(".")[0]) == OBSERVER]
    return [option for option in options if option not in watchers], watchers


def choose_observers(
    index: Index, recipes: Recipes, names: Sequence[str], options: Sequence[str | Option], *, tensorboard: bool
) -> Observing:
    """Return observers with their configs: those asked for, and TensorBoard where it is installed and wanted.

    Raises:
        UserError: a name that means nothing, or several things; TensorBoard is asked for and switched off; an option
            of no observer of this run, or one that does not exist or is not allowed.
    """
    chosen = [resolve(index, OBSERVER, name, recipes.pins) for name in dict.fromkeys(names)]
    own = [c for c in index.of_kind(OBSERVER) if (c.plugin, c.name) == ("core", TENSORBOARD)]
    if not tensorboard and any(component in chosen for component in own):
        raise UserError("--observe tensorboard and --no-tensorboard contradict each other.", hint="Keep one.")
    if tensorboard and has_package(TENSORBOARD):
        chosen += [component for component in own if component not in chosen]
    settings: dict[str, dict[str, Any]] = {component.name: {} for component in chosen}
    for option in (_read(text, chosen) for text in options):
        settings[option.name or ""][option.key] = option.value
    return [(c, structure_config(c, settings[c.name], prefix=f"{OBSERVER}.{c.name}")) for c in chosen]


def observer_options(observe: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> list[Option]:
    """Return the options of observers that are given as name → options."""
    table = observe if isinstance(observe, Mapping) else {}
    return [
        Option(OBSERVER, normalise_name(name), key, value)
        for name, options in table.items()
        for key, value in options.items()
    ]


def _read(text: str | Option, chosen: Sequence[Component]) -> Option:
    """Return the option with the name of the observer it means."""
    option = parse_option(text)
    if option.name is None:
        raise ConfigError(
            f"'{text}' does not say which observer it means.", hint=f"Name it, as in {OBSERVER}.NAME.{option.key}."
        )
    for component in chosen:
        if option.name in (component.name, *component.aliases):
            return option._replace(name=component.name)
    message = f"'{text}' concerns no observer of this run: '{option.name}' does not watch it."
    raise ConfigError(message, hint=f"Let it watch with --observe {option.name}.")
