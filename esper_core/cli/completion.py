"""Completing names in the shell, from what is installed, without torch; `esper --install-completion` sets it up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout, suppress
from pathlib import Path

from esper_core.contracts.errors import EsperError
from esper_core.plan.recipes import Recipes, find_registry, load_recipes
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.system.printable import visible_line

Complete = Callable[[str], list[tuple[str, str]]]
"""From what has been typed to names that begin with it, each with a line about it."""


def components(kind: str) -> Complete:
    """Return what completes names of a kind."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        index, _ = _world()
        return _offered(incomplete, ((c.name, c.spec.summary) for c in index.of_kind(kind)))

    return complete


def policies(incomplete: str) -> list[tuple[str, str]]:
    """Complete names that `--policy` accepts: recipes and networks."""
    index, recipes = _world()
    networks = {c.name: c.spec.summary for c in index.of_kind("network")}
    known = {**networks, **{name: networks.get(name, "a recipe of registry.toml") for name in recipes.policies}}
    return _offered(incomplete, sorted(known.items()))


def kinds(incomplete: str) -> list[tuple[str, str]]:
    """Complete names of kinds."""
    index, _ = _world()
    return _offered(incomplete, ((kind.name, kind.summary) for kind in index.kinds.values()))


def plugins(incomplete: str) -> list[tuple[str, str]]:
    """Complete ids of plugins."""
    index, _ = _world()
    return _offered(incomplete, ((r.plugin, f"{r.distribution} {r.version}") for r in index.plugins))


def runs(incomplete: str) -> list[tuple[str, str]]:
    """Complete runs of the directory in which runs lie when nothing else is said."""
    from esper_core.runs.directory import list_runs

    with suppress(EsperError):
        found, _ = list_runs(Path("runs"))
        return _offered(incomplete, ((run.name, run.created) for run in reversed(found)))
    return []


def _offered(incomplete: str, known: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what begins so; a name that a terminal would not show as it is cannot be offered."""
    return [(n, visible_line(text)) for n, text in known if n.startswith(incomplete) and n.isprintable()]


def _world() -> tuple[Index, Recipes]:
    """Return what is installed and the registry file; nothing where that is broken, for a shell waits."""
    with suppress(EsperError), redirect_stdout(sys.stderr):
        recipes = load_recipes(find_registry())
        return load_index(disabled=recipes.disabled), recipes
    return Index(), Recipes()
