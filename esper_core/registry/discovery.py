"""Finding plugins by their entry points. Nothing is imported."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from importlib import metadata

from attrs import frozen

from esper_core.contracts.errors import PluginError
from esper_core.registry.copies import Copy, find_copies
from esper_core.registry.distributions import has_plugins
from esper_core.registry.hookspecs import ENTRY_POINT_GROUP
from esper_core.registry.index import CORE_PLUGIN, FromPlugin
from esper_core.system.packages import CORE_DISTRIBUTION


@frozen
class Source(FromPlugin):
    """Where a plugin comes from; `load` imports it, and `others` are copies of its distribution that are not used."""

    plugin: str
    distribution: str
    version: str
    location: str
    load: Callable[[], object]
    editable: bool = False
    others: tuple[Copy, ...] = ()


def core_source() -> Source:
    """Return core's own plugin, which needs no entry point to be found."""
    load = partial(importlib.import_module, "esper_core.builtin.plugin")
    return Source(CORE_PLUGIN, CORE_DISTRIBUTION, metadata.version(CORE_DISTRIBUTION), "", load)


def entry_point_sources() -> tuple[Source, ...]:
    """Return the installed plugins, core first, then by distribution and name; nothing is imported.

    Of several copies of a distribution one is used, and its plugins know of the others.
    """
    sources = [source for copies in find_copies() for source in _sources_of(copies)]
    return tuple(sorted(sources, key=lambda s: (not s.is_core, s.distribution, s.plugin)))


def _sources_of(copies: tuple[Copy, ...]) -> list[Source]:
    used, *others = copies

    def source(plugin: str, load: Callable[[], object]) -> Source:
        return Source(plugin, used.distribution, used.version, used.location, load, used.editable, tuple(others))

    def broken(reason: str) -> list[Source]:
        def load() -> object:
            raise PluginError(reason)

        return [source(used.distribution, load)]

    try:
        # One unreadable entry_points.txt spoils its own distribution only.
        points = used.found.entry_points.select(group=ENTRY_POINT_GROUP)
    except Exception as error:
        return broken(f"its entry_points.txt cannot be read: {error}") if has_plugins(used.found) else []
    bringing = " and ".join(str(copy) for copy in others if has_plugins(copy.found))
    if not points and bringing:
        return broken(f"the copy that Python imports, {used}, brings no plugins; {bringing} does")
    return [source(point.name, point.load) for point in points]
