"""Completing names in the shell, from what is installed, without torch; `esper --install-completion` sets it up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import typer

from esper_core.cli.installed import installed_of
from esper_core.contracts.errors import EsperError
from esper_core.system.printable import visible_line

Offered = list[tuple[str, str]]
"""Names, each with a line about it."""


def components(kind: str) -> Callable[[typer.Context, str], Offered]:
    """Return what completes names of a kind."""

    def complete(context: typer.Context, incomplete: str) -> Offered:
        index = installed_of(context).index
        return _offered(incomplete, ((c.name, c.spec.summary) for c in index.of_kind(kind)))

    return complete


def policies(context: typer.Context, incomplete: str) -> Offered:
    """Complete names that `--policy` accepts: recipes and networks; none where the registry file is broken."""
    with suppress(EsperError):
        index, recipes = installed_of(context).load()
        networks = {c.name: c.spec.summary for c in index.of_kind("network")}
        known = {**networks, **{name: networks.get(name, "a recipe of registry.toml") for name in recipes.policies}}
        return _offered(incomplete, sorted(known.items()))
    return []


def kinds(context: typer.Context, incomplete: str) -> Offered:
    """Complete names of kinds."""
    index = installed_of(context).index
    return _offered(incomplete, ((kind.name, kind.summary) for kind in index.kinds.values()))


def plugins(context: typer.Context, incomplete: str) -> Offered:
    """Complete ids of plugins."""
    index = installed_of(context).index
    return _offered(incomplete, ((r.plugin, f"{r.distribution} {r.version}") for r in index.plugins))


def runs(incomplete: str) -> Offered:
    """Complete runs of the directory in which runs lie when nothing else is said."""
    from esper_core.runs.directory import list_runs

    with suppress(EsperError):
        found, _ = list_runs(Path("runs"))
        return _offered(incomplete, ((run.name, run.created) for run in reversed(found)))
    return []


def _offered(incomplete: str, known: Iterable[tuple[str, str]]) -> Offered:
    """Return what begins so; a name that a terminal would not show as it is cannot be offered."""
    return [(n, visible_line(text)) for n, text in known if n.startswith(incomplete) and n.isprintable()]
