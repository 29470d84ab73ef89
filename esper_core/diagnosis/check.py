"""Checking a registry file against what is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import EsperError, RegistryFileError, did_you_mean
from esper_core.plan.plan import PlanRequest, make_plan
from esper_core.plan.recipes import Recipes
from esper_core.registry.index import Index
from esper_core.registry.resolve import check_kind, resolve


def check_recipes(recipes: Recipes, index: Index) -> tuple[RegistryFileError, ...]:
    """Return everything wrong with a registry file, in the order of its lines.

    Names of kinds and components must be installed, and every policy must make a plan. A plugin that is disabled but
    not installed is no mistake: the file may be shared by several machines.
    """
    found: dict[str, RegistryFileError] = {}
    for error in (*_names(recipes, index), *_pins(recipes, index), *_plans(recipes, index)):
        found.setdefault(error.message, error)
    return tuple(sorted(found.values(), key=_line))


def _line(error: RegistryFileError) -> int:
    for part in error.message.split(":"):
        if part.isdigit():
            return int(part)
    return 0


def _names(recipes: Recipes, index: Index) -> Iterator[RegistryFileError]:
    tables: list[tuple[tuple[str, ...], Mapping[str, str]]] = [(("defaults",), recipes.defaults)]
    tables += [(("policy", recipe.name), recipe.uses) for recipe in recipes.policies.values()]
    for keys, uses in tables:
        for kind, name in uses.items():
            try:
                resolve(index, check_kind(index, kind), name, recipes.pins)
            except EsperError as error:
                yield recipes.error((*keys, kind), error.message, error.hint)


def _pins(recipes: Recipes, index: Index) -> Iterator[RegistryFileError]:
    for key, distribution in recipes.pins.items():
        kind, _, name = key.partition("/")
        try:
            resolve(index, kind, f"{distribution}:{name}")
        except EsperError as error:
            yield recipes.error(("resolve", key), error.message, error.hint)


def _plans(recipes: Recipes, index: Index) -> Iterator[RegistryFileError]:
    policy = recipes.settings.get("policy")
    known = sorted({*recipes.policies, *index.names("network")})
    if policy is not None and normalise_name(policy) not in recipes.policies:
        try:
            resolve(index, "network", policy, recipes.pins)
        except EsperError:
            message = f"No policy named '{policy}'.{did_you_mean(normalise_name(policy), known)}"
            yield recipes.error(("defaults", "policy"), message, f"Policies here: {', '.join(known) or 'none'}.")
    for name in recipes.policies:
        try:
            make_plan(PlanRequest(policy=name), index, recipes)
        except RegistryFileError as error:
            yield error
        except EsperError as error:
            yield recipes.error(("policy", name), f"policy '{name}' makes no plan: {error.message}", error.hint)
