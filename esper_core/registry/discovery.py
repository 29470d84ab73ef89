"""Finding plugins by their entry points. Nothing is imported.

Of several copies of a distribution, which an upgrade, a second folder or an editable installation leaves behind, the
one is used whose code Python imports.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import Distribution, distributions, version
from importlib.util import find_spec
from pathlib import Path

from attrs import field, frozen

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import PluginError
from esper_core.registry.distributions import has_plugins, name_of, plugin_packages, read, source_folder
from esper_core.registry.hookspecs import ENTRY_POINT_GROUP
from esper_core.registry.index import CORE_PLUGIN, FromPlugin
from esper_core.system.packages import CORE_DISTRIBUTION

_REMOVED_IN_PART = "~"
"""What pip puts before the name of a folder that it could not remove."""


@frozen
class Copy:
    """One of several installations of a distribution.

    Attributes:
        location: Folder of its code: the source of an editable installation, else the folder of its metadata.
        metadata: Folder or file of its metadata; empty where that is unknown.
    """

    distribution: str
    version: str
    location: str
    metadata: str
    editable: bool
    found: Distribution = field(repr=False, eq=False)

    @classmethod
    def of(cls, found: Distribution) -> Copy:
        """Return what is known about an installation."""
        source = source_folder(found)
        location = str(found.locate_file("")) if source is None else source
        name, version = name_of(found) or "unknown", read(found, "Version") or "0"
        return cls(name, version, location, str(_path(found) or ""), source is not None, found)

    def __str__(self) -> str:
        return f"{self.version} in {self.metadata or self.location}"


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
    """Return core's own plugin."""
    load = partial(importlib.import_module, "esper_core.builtin.plugin")
    return Source(CORE_PLUGIN, CORE_DISTRIBUTION, version(CORE_DISTRIBUTION), "", load)


def entry_point_sources() -> tuple[Source, ...]:
    """Return the installed plugins, core first, then by distribution and name."""
    sources = [source for copies in find_copies() for source in _sources_of(copies)]
    return tuple(sorted(sources, key=lambda s: (not s.is_core, s.distribution, s.plugin)))


def _fail(reason: str) -> object:
    raise PluginError(reason)


def _sources_of(copies: tuple[Copy, ...]) -> list[Source]:
    used, *others = copies

    def source(plugin: str, load: Callable[[], object]) -> Source:
        return Source(plugin, used.distribution, used.version, used.location, load, used.editable, tuple(others))

    def broken(reason: str) -> list[Source]:
        return [source(used.distribution, partial(_fail, reason))]

    try:
        # One unreadable entry_points.txt spoils its own distribution only.
        points = used.found.entry_points.select(group=ENTRY_POINT_GROUP)
    except Exception as error:
        return broken(f"its entry_points.txt cannot be read: {error}") if has_plugins(used.found) else []
    bringing = " and ".join(str(copy) for copy in others if has_plugins(copy.found))
    if not points and bringing:
        return broken(f"the copy that Python imports, {used}, brings no plugins; {bringing} does")
    return [source(point.name, point.load) for point in points]


def find_copies() -> tuple[tuple[Copy, ...], ...]:
    """Return the distributions of which some copy brings plugins: all copies of each, the one that is used first."""
    every = [(_folder_name(distribution), distribution) for distribution in distributions()]
    brings = {name for name, distribution in every if has_plugins(distribution)}
    found: dict[str, dict[Path | int, Copy]] = {}
    for name, distribution in every:
        if name in brings:
            path, known = _path(distribution), found.setdefault(name, {})
            # One folder may stand on the path twice.
            known.setdefault(path.resolve() if path else len(known), Copy.of(distribution))
    return tuple(_ordered(list(copies.values())) for _, copies in sorted(found.items()))


def _ordered(copies: list[Copy]) -> tuple[Copy, ...]:
    if len(copies) == 1:
        return tuple(copies)
    # An editable installation writes an egg-info into its own source, which is no copy.
    editable = {(copy.location, copy.version) for copy in copies if copy.editable}
    own = [not c.editable and c.metadata.endswith("egg-info") and (c.location, c.version) in editable for c in copies]
    copies = [copy for copy, is_own in zip(copies, own, strict=True) if not is_own]
    places = _places(copies)
    # The order on the path is that of the folders; within one it is whatever the file system says.
    folders = list(dict.fromkeys(Path(copy.metadata).parent for copy in copies))

    def rank(copy: Copy) -> tuple[bool, bool, int, int]:
        folder, info = Path(copy.location).resolve(), Path(copy.metadata)
        holds = any(place.is_relative_to(folder) for place in places)
        removed = info.name.startswith(_REMOVED_IN_PART)
        return removed, bool(places) and not holds, _damage(copy.found), folders.index(info.parent)

    copies.sort(
        key=lambda copy: ([int(part) for part in re.findall(r"\d+", copy.version)], copy.metadata), reverse=True
    )
    return tuple(sorted(copies, key=rank))


def _places(copies: Iterable[Copy]) -> list[Path]:
    """Return where Python would import the plugins' packages from."""
    places: list[Path] = []
    for package in sorted(set().union(*(plugin_packages(copy.found) for copy in copies))):
        with contextlib.suppress(Exception):
            if spec := find_spec(package):
                origins = [spec.origin] if spec.origin else spec.submodule_search_locations or ()
                places += [Path(origin).resolve() for origin in origins]
    return places


def _damage(distribution: Distribution) -> int:
    """Return 0 where the code is as recorded when it was installed, 2 where it is not, 1 where nothing was recorded."""
    with contextlib.suppress(Exception):
        recorded = [file for file in distribution.files or () if file.suffix == ".py" and file.size is not None]
        if recorded:
            return 0 if all(Path(str(f.locate())).stat().st_size == f.size for f in recorded) else 2
        return 1
    return 2


def _folder_name(distribution: Distribution) -> str:
    """Return the normalised name of a distribution; that of its folder says it without reading a file."""
    path = _path(distribution)
    if path is None or path.name.startswith(_REMOVED_IN_PART):
        return name_of(distribution) or "unknown"
    return normalise_name(path.stem.partition("-")[0])


def _path(distribution: Distribution) -> Path | None:
    path = getattr(distribution, "_path", None)
    return path if isinstance(path, Path) else None
