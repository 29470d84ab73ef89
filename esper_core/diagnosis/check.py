"""Checking a registry file against what is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.composition.recipes import Recipes
from esper_core.composition.selection import check_policy
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import EsperError, RegistryFileError
from esper_core.registry.index import Index
from esper_core.registry.resolve import resolve


def check_recipes(recipes: Recipes, index: Index) -> tuple[RegistryFileError, ...]:
    """Return everything wrong with a registry file, in the order of its lines.

    Names of kinds and components must be installed, and every policy must make a plan. A plugin that is disabled but
    not installed is not a mistake: the file may be shared by several machines.
    """
    found: dict[str, RegistryFileError] = {}
    for keys, doubt, check in _checks(recipes, index):
        try:
            check()
        except EsperError as error:
            if not isinstance(error, RegistryFileError):
                error = recipes.error(keys, f"{doubt}{error.message}", error.hint)
            found.setdefault(error.message, error)
    return tuple(sorted(found.values(), key=_line))


def _line(error: RegistryFileError) -> int:
    return next((int(part) for part in error.message.split(":") if part.isdigit()), 0)


def _checks(recipes: Recipes, index: Index) -> Iterator[tuple[tuple[str, ...], str, Callable[[], Any]]]:
    """Yield what is checked: its place in the file, what its error is said to mean, and what raises it."""
    tables = [(("defaults",), recipes.defaults), *((("policy", r.name), r.uses) for r in recipes.policies.values())]
    for keys, uses in tables:
        for kind, name in uses.items():
            yield (*keys, kind), "", partial(resolve, index, kind, name, recipes.pins)
    for key, distribution in recipes.pins.items():
        kind, _, name = key.partition("/")
        yield ("resolve", key), "", partial(resolve, index, kind, f"{distribution}:{name}")
    policy = recipes.settings.get("policy")
    if policy is not None and normalise_name(policy) not in recipes.policies:
        keys = ("defaults", "policy")
        yield keys, "", partial(check_policy, index, recipes, policy, keys)
    for name in recipes.policies:
        plan = partial(make_plan, PlanRequest(policy=name), index, recipes)
        yield ("policy", name), f"policy '{name}' makes no plan: ", plan
