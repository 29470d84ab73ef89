"""Copies of one distribution: what an upgrade, a second folder or an editable installation leaves behind.

Of several copies the one is used whose code Python imports; nothing is imported to find that out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from attrs import field, frozen

from esper_core.contracts.components import normalise_name
from esper_core.registry.distributions import has_plugins, name_of, plugin_packages, read, source_folder

_WORDS = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1, "post": 1}
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
    copies = [
        c
        for c in copies
        if c.editable or Path(c.metadata).suffix != ".egg-info" or (c.location, c.version) not in editable
    ]
    places = _places(copies)
    # The order on the path is that of the folders; within one it is whatever the file system says.
    folders = list(dict.fromkeys(Path(copy.metadata).parent for copy in copies))

    def rank(copy: Copy) -> tuple[bool, bool, int, int]:
        folder, info = Path(copy.location).resolve(), Path(copy.metadata)
        holds = any(place.is_relative_to(folder) for place in places)
        removed = info.name.startswith(_REMOVED_IN_PART)
        return removed, bool(places) and not holds, _damage(copy.found), folders.index(info.parent)

    copies.sort(key=lambda copy: (_version_key(copy.version), copy.metadata), reverse=True)
    return tuple(sorted(copies, key=rank))


def _version_key(version: str) -> tuple[tuple[int, int], ...]:
    """Return what versions are compared by: a word that means a draft sorts below nothing, and a number above it."""
    parts = re.findall(r"\d+|[a-z]+", version.lower().partition("+")[0])
    return (*((2, int(part)) if part.isdigit() else (_WORDS.get(part, 0), 0) for part in parts), (0, 0))


def _places(copies: Iterable[Copy]) -> list[Path]:
    """Return where Python would import the plugins' packages from."""
    places: list[Path] = []
    for package in sorted(set().union(*(plugin_packages(copy.found) for copy in copies))):
        with contextlib.suppress(Exception):
            spec = find_spec(package)
            if spec is not None:
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
