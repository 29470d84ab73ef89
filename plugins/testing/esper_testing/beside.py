"""Choosing a component that no plan holds, such as a workload."""

from __future__ import annotations

from esper_core.composition.recipes import Recipe, Recipes
from esper_core.composition.selection import Selection
from esper_core.registry.index import Component, Index
from esper_core.registry.resolve import check_kind


def choose_beside(index: Index, recipes: Recipes, kind: str, name: str | None) -> Component:
    """Return the component of a kind that no plan holds.

    The first that says something wins: `name`, `[defaults]` of the registry file, the defaults of the environment that
    is used when nothing else is said, the only installed component of the kind.

    Raises:
        UnknownComponent, AmbiguousComponent: a name that means nothing, or several things.
        IncompatiblePlan: nothing says which to use.
        RegistryFileError: a name in registry.toml that means nothing.
    """
    uses = {check_kind(index, kind): name} if name is not None else {}
    selection = Selection(index, recipes, "", Recipe(""), uses)
    if next(selection.choices(kind), None) is None and index.of_kind(kind):
        selection.chosen["environment"] = selection.choose("environment")
    return selection.choose(kind)
