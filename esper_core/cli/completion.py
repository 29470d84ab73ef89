"""Completing names in the shell, from what is installed, without torch; `esper --install-completion` sets it up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from esper_core.contracts.errors import EsperError
from esper_core.registry.index import Index, load_index
from esper_core.registry.recipes import Recipes, find_registry, load_recipes

Complete = Callable[[str], list[tuple[str, str]]]
"""From what has been typed to names that begin with it, each with a line about it."""


def components(kind: str) -> Complete:
    """Return what completes names of a kind."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        index, _ = _world()
        return [(c.name, c.spec.summary) for c in index.of_kind(kind) if c.name.startswith(incomplete)]

    return complete


def policies(incomplete: str) -> list[tuple[str, str]]:
    """Complete names that `--policy` accepts: recipes and networks."""
    index, recipes = _world()
    networks = {c.name: c.spec.summary for c in index.of_kind("network")}
    known = {**networks, **{name: networks.get(name, "a recipe of registry.toml") for name in recipes.policies}}
    return [(name, text) for name, text in sorted(known.items()) if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[tuple[str, str]]:
    """Complete names of kinds."""
    index, _ = _world()
    return [(kind.name, kind.summary) for kind in index.kinds.values() if kind.name.startswith(incomplete)]


def plugins(incomplete: str) -> list[tuple[str, str]]:
    """Complete ids of plugins."""
    index, _ = _world()
    return [(r.plugin, f"{r.distribution} {r.version}") for r in index.plugins if r.plugin.startswith(incomplete)]


def runs(incomplete: str) -> list[tuple[str, str]]:
    """Complete runs of the directory in which runs lie when nothing else is said."""
    from esper_core.runs.directory import list_runs

    found, _ = list_runs(Path("runs"))
    return [(run.name, run.created) for run in reversed(found) if run.name.startswith(incomplete)]


def _world() -> tuple[Index, Recipes]:
    """Return what is installed and the registry file; nothing where that is broken, for a shell waits."""
    with suppress(EsperError):
        recipes = load_recipes(find_registry())
        return load_index(disabled=recipes.disabled), recipes
    return Index(), Recipes()
