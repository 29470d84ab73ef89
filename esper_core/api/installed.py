"""What is installed, as every function and command begins with it. Torch is not imported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from esper_core.composition.plan import Plan
from esper_core.composition.recipes import Recipes, find_registry, load_recipes
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import ConfigError, UserError
from esper_core.diagnosis.switches import Switches
from esper_core.registry.discovery import entry_point_sources
from esper_core.registry.index import Index, PluginRecord
from esper_core.registry.loading import index_plugins
from esper_core.registry.local import local_sources, register
from esper_core.registry.resolve import check_kind
from esper_core.system.packages import LOCAL_DISTRIBUTION


def load_installed(registry: str | Path | None = None, no_plugin: Sequence[str] = ()) -> tuple[Index, Recipes]:
    """Return what is installed, and the registry file.

    Args:
        registry: The registry file; `ESPER_REGISTRY`, or the nearest `registry.toml` upward without.
        no_plugin: Plugins that are not loaded, beside those that the file switches off.

    Raises:
        UserError: a name of a plugin that is none, or a registry file that cannot be read.
    """
    recipes = load_recipes(find_registry(registry))
    switches = Switches(tuple(no_plugin), recipes)
    sources, local = entry_point_sources(), local_sources()
    switches.check(sources)
    only = None if switches.only is None else (*switches.only, *(source.plugin for source in local))
    here = Path.cwd()
    try:
        return index_plugins((*sources, *local), disabled=switches.disabled, only=only), recipes
    finally:
        # A plugin that goes elsewhere must not change what relative paths mean.
        os.chdir(here)


def use_local(use: Mapping[str, Any] | None) -> dict[str, str]:
    """Make classes, functions and objects known to this process; return kind → name for all choices.

    Raises:
        UserError: a kind that nobody declares, or what can be no component.
    """
    if use is not None and not isinstance(use, Mapping):
        raise ConfigError(f"use cannot be {use!r:.80}.", hint='Write a table, such as {"network": MyNet}.')
    uses = dict(use or {})
    own = {kind: what for kind, what in uses.items() if not isinstance(what, str)}
    index = load_installed()[0] if own else Index()
    return {**uses, **{kind: register(check_kind(index, kind), what) for kind, what in own.items()}}


def give_local(use: Mapping[str, Any] | None, plan: Plan) -> None:
    """Make the classes and objects known that a recorded plan was made with; raises UserError for any others."""
    for kind, name in use_local(use).items():
        planned = [f"{c.distribution}:{c.name}" for c in plan.of_kind(normalise_name(kind))]
        if name not in planned:
            raise UserError(
                f"The run's {kind} is {' and '.join(planned) or 'none'}, not {name}.",
                hint="A run keeps its components: give those of its own classes and objects that it was begun with.",
            )


def plugins(registry: str | Path | None = None) -> tuple[PluginRecord, ...]:
    """Return every installed plugin, as `esper plugins list` lists them; one that failed to load says why.

    Raises:
        RegistryFileError: the registry file cannot be read.
    """
    return load_installed(registry)[0].plugins


def policies(registry: str | Path | None = None) -> list[dict[str, Any]]:
    """Return what `plan(policy=...)` takes, as `esper policy list --json` prints it: recipes and networks.

    Raises:
        RegistryFileError: the registry file cannot be read.
    """
    return list_policies(*load_installed(registry))


def list_policies(index: Index, recipes: Recipes) -> list[dict[str, Any]]:
    """Return recipes and networks by name: what each is, its network, components and summary."""
    installed = (c for c in index.of_kind("network") if c.distribution != LOCAL_DISTRIBUTION)
    networks = {c.name: c.spec.summary for c in installed}
    rows: list[dict[str, Any]] = []
    for name in sorted({*recipes.policies, *networks}):
        recipe = recipes.policies.get(name)
        uses = dict(recipe.uses) if recipe else {}
        network, source = uses.get("network", name), "recipe" if recipe else "network"
        summary = networks.get(network, "")
        rows.append({"policy": name, "source": source, "network": network, "uses": uses, "summary": summary})
    return rows
