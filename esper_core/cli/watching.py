"""Which observers watch a run, and their options: `--observe NAME`, `-o observer.NAME.key=VALUE`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from esper_core.composition.config import Option, parse_option, structure_config
from esper_core.composition.recipes import Recipes
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import ConfigError, UserError
from esper_core.registry.index import Component, Index
from esper_core.registry.resolve import resolve
from esper_core.system.packages import has_package

OBSERVER = "observer"
TENSORBOARD = "tensorboard"
"""Of core's own observers the one that watches unasked, where its package is installed."""


def split_options(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options that concern the plan, and those of observers, which no plan holds."""
    watchers = [text for text in texts if normalise_name(text.partition(".")[0]) == OBSERVER]
    return [text for text in texts if text not in watchers], watchers


def choose_observers(
    index: Index, recipes: Recipes, names: Sequence[str], options: Sequence[str], *, tensorboard: bool
) -> list[tuple[Component, Any]]:
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


def _read(text: str, chosen: Sequence[Component]) -> Option:
    """Return the option with the name of the observer it means."""
    option = parse_option(text)
    if option.name is None:
        raise ConfigError(
            f"'{text}' does not say which observer it means.", hint=f"Name it, as in {OBSERVER}.NAME.{option.key}."
        )
    for component in chosen:
        if option.name in (component.name, *map(normalise_name, component.spec.aliases)):
            return option._replace(name=component.name)
    message = f"'{text}' concerns no observer of this run: '{option.name}' does not watch it."
    raise ConfigError(message, hint=f"Let it watch with --observe {option.name}.")
