"""Finding plugins by their entry points. Nothing is imported."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from importlib import metadata
from urllib.parse import urlsplit
from urllib.request import url2pathname

from attrs import frozen

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import PluginError
from esper_core.contracts.packages import CORE_DISTRIBUTION
from esper_core.registry.hookspecs import ENTRY_POINT_GROUP

CORE_PLUGIN = "core"


@frozen
class Source:
    """Where a plugin comes from; `load` imports it."""

    plugin: str
    distribution: str
    version: str
    location: str
    load: Callable[[], object]
    editable: bool = False

    @property
    def is_core(self) -> bool:
        """Whether this is core's own plugin, which cannot be switched off."""
        return (self.distribution, self.plugin) == (CORE_DISTRIBUTION, CORE_PLUGIN)

    @property
    def ids(self) -> frozenset[str]:
        """Names by which it can be switched on and off."""
        return frozenset({normalise_name(self.plugin), normalise_name(self.distribution)})


@frozen
class Copy:
    """One of several installations of a distribution."""

    distribution: str
    version: str
    location: str


def entry_point_sources() -> tuple[Source, ...]:
    """Return the installed plugins, core first, then by distribution and name; nothing is imported."""
    try:
        sources = [_source(point) for point in metadata.entry_points(group=ENTRY_POINT_GROUP)]
    except Exception:
        # One unreadable entry_points.txt spoils the listing of all, so every distribution is asked by itself.
        sources = [source for distribution in _first_of_each_name() for source in _sources_of(distribution)]
    return tuple(sorted(sources, key=lambda s: (not s.is_core, s.distribution, s.plugin)))


def duplicates() -> tuple[tuple[Copy, ...], ...]:
    """Return the distributions with plugins that lie on the path more than once, the copy that is used first."""
    copies: dict[str, dict[str, Copy]] = {}
    for distribution in metadata.distributions():
        if _has_plugins(distribution):
            name = _name(distribution)
            location, _ = _location(distribution)
            copy = Copy(name, _metadata(distribution, "Version") or "0", location)
            copies.setdefault(name, {}).setdefault(location, copy)
    return tuple(tuple(found.values()) for _, found in sorted(copies.items()) if len(found) > 1)


def _first_of_each_name() -> Iterator[metadata.Distribution]:
    """Yield the installed distributions; of two with one name, the first on the path is the one that is imported."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        name = _name(distribution)
        if name not in seen:
            seen.add(name)
            yield distribution


def _sources_of(distribution: metadata.Distribution) -> list[Source]:
    try:
        return [_source(point) for point in distribution.entry_points.select(group=ENTRY_POINT_GROUP)]
    except Exception as error:
        if not _has_plugins(distribution):
            return []
        reason = PluginError(f"its entry_points.txt cannot be read: {error}")
        name, (location, editable) = _name(distribution), _location(distribution)
        return [Source(name, name, "0", location, _raiser(reason), editable)]


def _has_plugins(distribution: metadata.Distribution) -> bool:
    with contextlib.suppress(Exception):
        return f"[{ENTRY_POINT_GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    return False


def _raiser(error: Exception) -> Callable[[], object]:
    def load() -> object:
        raise error

    return load


def _name(distribution: metadata.Distribution) -> str:
    return normalise_name(_metadata(distribution, "Name") or "unknown")


def _metadata(distribution: metadata.Distribution, key: str) -> str | None:
    # What a missing key or a missing METADATA file gives differs between versions of Python: None or an error.
    with contextlib.suppress(Exception):
        return distribution.metadata[key]
    return None


def _source(point: metadata.EntryPoint) -> Source:
    if point.dist is None:
        return Source(point.name, "unknown", "0", "", point.load)
    location, editable = _location(point.dist)
    version = _metadata(point.dist, "Version") or "0"
    return Source(point.name, _name(point.dist), version, location, point.load, editable)


def _location(distribution: metadata.Distribution) -> tuple[str, bool]:
    """Return the source folder of an editable installation and True, else the folder that holds the distribution."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            return url2pathname(urlsplit(origin["url"]).path), True
    return str(distribution.locate_file("")), False
