"""Completing names in the shell, from what is installed, without torch; `esper --install-completion` sets it up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import typer

from esper_core.cli.installed import Installed, installed_of
from esper_core.contracts.errors import EsperError
from esper_core.system.printable import visible_line

Names = Iterable[tuple[str, str]]
"""Names, each with a line about it."""
Completing = Callable[[typer.Context, str], list[tuple[str, str]]]


def _completing(read: Callable[[Installed], Names]) -> Completing:
    """Return what completes names; where something is broken it offers none."""

    def complete(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        with suppress(EsperError):
            known = read(installed_of(context))
            # A name that a terminal would not show as it is cannot be offered.
            return [(n, visible_line(text)) for n, text in known if n.startswith(incomplete) and n.isprintable()]
        return []

    return complete


def components(kind: str) -> Completing:
    """Return what completes names of a kind."""
    return _completing(lambda installed: ((c.name, c.spec.summary) for c in installed.index.of_kind(kind)))


def _policies(installed: Installed) -> Names:
    index, recipes = installed.load()
    networks = {c.name: c.spec.summary for c in index.of_kind("network")}
    return sorted({**dict.fromkeys(recipes.policies, "a recipe of registry.toml"), **networks}.items())


def _runs(_: Installed) -> Names:
    from esper_core.registry.offers import offers
    from esper_core.runs.directory import list_runs

    found, _damaged = list_runs(Path("runs"))
    own = [(run.name, run.created) for run in reversed(found)]
    return own + [(offer.name, f"of {offer.origin}") for offer in offers().values()]


policies = _completing(_policies)
runs = _completing(_runs)
kinds = _completing(lambda installed: ((kind.name, kind.summary) for kind in installed.index.kinds.values()))
plugins = _completing(lambda i: ((r.plugin, f"{r.distribution} {r.version}") for r in i.index.plugins))
