"""Completing names in the shell, from what is installed, without torch; `esper --install-completion` sets it up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import typer

from esper_core.cli.installed import Installed, installed_of
from esper_core.contracts.errors import EsperError
from esper_core.system.printable import visible_line

Known = Iterable[tuple[str, str]]
"""Names, each with a line about it."""


def _completing(read: Callable[[Installed], Known]) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """Return what completes names; where something is broken it offers none."""

    def complete(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        with suppress(EsperError):
            return _offered(incomplete, read(installed_of(context)))
        return []

    return complete


def components(kind: str) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """Return what completes names of a kind."""
    return _completing(lambda installed: ((c.name, c.spec.summary) for c in installed.index.of_kind(kind)))


def _policies(installed: Installed) -> Known:
    index, recipes = installed.load()
    networks = {c.name: c.spec.summary for c in index.of_kind("network")}
    known = {**networks, **{name: networks.get(name, "a recipe of registry.toml") for name in recipes.policies}}
    return sorted(known.items())


policies = _completing(_policies)
kinds = _completing(lambda installed: ((kind.name, kind.summary) for kind in installed.index.kinds.values()))
plugins = _completing(lambda i: ((r.plugin, f"{r.distribution} {r.version}") for r in i.index.plugins))


def runs(incomplete: str) -> list[tuple[str, str]]:
    """Complete runs of the directory in which runs lie when nothing else is said."""
    from esper_core.runs.directory import list_runs

    with suppress(EsperError):
        found, _ = list_runs(Path("runs"))
        return _offered(incomplete, ((run.name, run.created) for run in reversed(found)))
    return []


def _offered(incomplete: str, known: Known) -> list[tuple[str, str]]:
    """Return what begins so; a name that a terminal would not show as it is cannot be offered."""
    return [(n, visible_line(text)) for n, text in known if n.startswith(incomplete) and n.isprintable()]
