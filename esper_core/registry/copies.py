"""Copies of one distribution: what an upgrade, a second folder or an editable installation leaves behind.

Metadata may lie where its code does not. Of several copies the one is used whose code Python imports; nothing is
imported to find that out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from attrs import field, frozen

from esper_core.contracts.components import normalise_name
from esper_core.registry.hookspecs import ENTRY_POINT_GROUP
from esper_core.system.json_files import parse_json
from esper_core.system.shape import shaped

_WORDS = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1, "post": 1}
_REMOVED_IN_PART = "~"
"""What pip puts before the name of a folder that it could not remove."""


@frozen
class Origin:
    """The shape of `direct_url.json`: where an installer took a distribution from."""

    url: str
    dir_info: dict[str, Any] = field(factory=dict)


@frozen
class Copy:
    """One of several installations of a distribution.

    Attributes:
        distribution: Its name.
        version: Its version.
        location: Folder its code lies in: the source of an editable installation, else where its metadata lies.
        metadata: Folder, or file, of its metadata; empty where that is not known.
        editable: It is installed in place.
    """

    distribution: str
    version: str
    location: str
    metadata: str
    editable: bool

    def __str__(self) -> str:
        return f"{self.version} in {self.metadata or self.location}"


Copies = tuple[tuple[Copy, metadata.Distribution], ...]
"""The copies of a distribution, the one that is used first."""


def find_copies() -> tuple[Copies, ...]:
    """Return the distributions of which some copy brings plugins, each with all its copies."""
    every = [(_folder_name(distribution), distribution) for distribution in metadata.distributions()]
    brings = {name for name, distribution in every if has_plugins(distribution)}
    found: dict[str, dict[str, tuple[Copy, metadata.Distribution]]] = {}
    for name, distribution in every:
        if name in brings:
            copy = describe(distribution)
            # One folder may stand on the path twice.
            place = str(Path(copy.metadata).resolve()) if copy.metadata else str(len(found.get(name, ())))
            found.setdefault(name, {}).setdefault(place, (copy, distribution))
    return tuple(_ordered(list(copies.values())) for _, copies in sorted(found.items()))


def describe(distribution: metadata.Distribution) -> Copy:
    """Return what is known about an installation."""
    location, editable = _location(distribution)
    version = read(distribution, "Version") or "0"
    name = normalise_name(read(distribution, "Name") or "unknown")
    return Copy(name, version, location, str(_path(distribution) or ""), editable)


def has_plugins(distribution: metadata.Distribution) -> bool:
    """Return whether a distribution has entry points of ours, whether or not they can be read."""
    with contextlib.suppress(Exception):
        return f"[{ENTRY_POINT_GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    return False


def read(distribution: metadata.Distribution, key: str) -> str | None:
    """Return an entry of a distribution's metadata, or None."""
    # What a missing key or a missing METADATA file gives differs between versions of Python: None or an error.
    with contextlib.suppress(Exception):
        return distribution.metadata[key]
    return None


def _ordered(copies: list[tuple[Copy, metadata.Distribution]]) -> Copies:
    if len(copies) > 1:
        copies = _without_own_traces(copies)
    if len(copies) > 1:
        places = _places(distribution for _, distribution in copies)
        # The order on the path is that of the folders; within one it is whatever the file system says.
        folders = list(dict.fromkeys(Path(copy.metadata).parent for copy, _ in copies))
        copies.sort(key=lambda pair: _rank(pair[0], pair[1], places, folders.index(Path(pair[0].metadata).parent)))
    return tuple(copies)


def _without_own_traces(copies: list[tuple[Copy, metadata.Distribution]]) -> list[tuple[Copy, metadata.Distribution]]:
    """Leave out the egg-info that an editable installation writes into its own source."""
    editable = {(copy.location, copy.version) for copy, _ in copies if copy.editable}
    return [
        (copy, distribution)
        for copy, distribution in copies
        if copy.editable or not copy.metadata.endswith(".egg-info") or (copy.location, copy.version) not in editable
    ]


def _rank(copy: Copy, distribution: metadata.Distribution, places: list[Path], position: int) -> tuple[object, ...]:
    """Return what copies are sorted by, the best lowest."""
    folder = Path(copy.location).resolve()
    holds = any(place.is_relative_to(folder) for place in places)
    return (
        Path(copy.metadata).name.startswith(_REMOVED_IN_PART),
        bool(places) and not holds,
        _damage(distribution),
        position,
        _Descending(_version_key(copy.version)),
        copy.metadata,
    )


@frozen(order=False)
class _Descending:
    """Sorts the highest first."""

    key: tuple[tuple[int, int], ...]

    def __lt__(self, other: _Descending) -> bool:
        return other.key < self.key


def _version_key(version: str) -> tuple[tuple[int, int], ...]:
    """Return what versions are compared by: a word that means a draft sorts below nothing, and a number above it."""
    parts = re.findall(r"\d+|[a-z]+", version.lower().partition("+")[0])
    return (*((2, int(part[:18])) if part.isdigit() else (_WORDS.get(part, 0), 0) for part in parts), (0, 0))


def _places(distributions: Iterable[metadata.Distribution]) -> list[Path]:
    """Return where Python would import the plugins' packages from."""
    modules: set[str] = set()
    for distribution in distributions:
        with contextlib.suppress(Exception):
            modules |= {p.module.partition(".")[0] for p in distribution.entry_points.select(group=ENTRY_POINT_GROUP)}
    places: list[Path] = []
    for module in sorted(modules):
        with contextlib.suppress(Exception):
            spec = find_spec(module)
            if spec is not None:
                origins = [spec.origin] if spec.origin else [*(spec.submodule_search_locations or ())]
                places += [Path(origin).resolve() for origin in origins]
    return places


def _damage(distribution: metadata.Distribution) -> int:
    """Return 0 where the code is as recorded when it was installed, 2 where it is not, 1 where nothing was recorded."""
    with contextlib.suppress(Exception):
        recorded = [file for file in distribution.files or () if file.suffix == ".py" and file.size is not None]
        if recorded:
            return 0 if all(Path(str(f.locate())).stat().st_size == f.size for f in recorded) else 2
        return 1
    return 2


def _folder_name(distribution: metadata.Distribution) -> str:
    """Return the normalised name of a distribution; that of its folder says it without reading a file."""
    path = _path(distribution)
    if path is None:
        return normalise_name(read(distribution, "Name") or "unknown")
    name = path.name.removesuffix(".egg-info").removesuffix(".dist-info").partition("-")[0]
    if name.startswith(_REMOVED_IN_PART):
        name = read(distribution, "Name") or name
    return normalise_name(name)


def _path(distribution: metadata.Distribution) -> Path | None:
    path = getattr(distribution, "_path", None)
    return path if isinstance(path, Path) else None


def _location(distribution: metadata.Distribution) -> tuple[str, bool]:
    """Return the source folder of an editable installation and True, else the folder that holds the distribution."""
    with contextlib.suppress(Exception):
        found = parse_json((distribution.read_text("direct_url.json") or "{}").encode(), "direct_url.json")
        origin = shaped(Origin, found, "direct_url.json")
        if origin.dir_info.get("editable"):
            return url2pathname(urlsplit(origin.url).path), True
    return str(distribution.locate_file("")), False
