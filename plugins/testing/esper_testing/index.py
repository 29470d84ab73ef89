"""Indexes of plugins that are objects of a test, without any entry point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from esper_core.contracts.components import ComponentSpec, KindSpec
from esper_core.registry.discovery import Source
from esper_core.registry.hookspecs import hookimpl
from esper_core.registry.index import Index
from esper_core.registry.loading import index_plugins


def hooks(components: Any = (), kinds: Any = ()) -> object:
    """Return a plugin whose hooks return what is given, or call it."""
    found = {"esper_components": components, "esper_kinds": kinds}
    calls = {hook: specs if callable(specs) else lambda specs=specs: specs for hook, specs in found.items()}
    return SimpleNamespace(**{hook: hookimpl(call) for hook, call in calls.items()})


def index_from_plugins(plugins: Mapping[str, object], *, distribution: str | None = None, version: str = "0") -> Index:
    """Return the index of plugin objects: id → module or any object with hooks.

    Args:
        plugins: The plugins by id, in loading order.
        distribution: Distribution of all of them; None takes each id.
        version: Version of all of them.
    """
    return index_plugins(
        Source(name, distribution or name, version, "", lambda module=module: module)  # type: ignore[misc]
        for name, module in plugins.items()
    )


def index_from_specs(
    components: Iterable[ComponentSpec] = (),
    kinds: Iterable[KindSpec] = (),
    *,
    plugin: str = "in-memory",
    distribution: str = "in-memory",
    version: str = "0",
) -> Index:
    """Return the index of one plugin that registers these specs."""
    return index_from_plugins(
        {plugin: hooks(tuple(components), tuple(kinds))}, distribution=distribution, version=version
    )
