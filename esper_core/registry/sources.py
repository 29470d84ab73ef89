"""What is installed: distributions with a digest of their whole source. Everything is found, nothing imported.

Results that are kept for later have these in their key, so that they are computed again when the code has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import os
import pkgutil
import secrets
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from attrs import frozen

from esper_core.contracts.components import normalise_name
from esper_core.registry.distributions import has_plugins, name_of, plugin_packages, source_folder, text_of
from esper_core.system.machine import installed_version
from esper_core.system.packages import CORE_DISTRIBUTION as CORE
from esper_core.system.packages import declarations

NUMERIC = ("gymnasium", "numpy", "scikit-learn", "scipy", "torch")
"""What esper-core and its plugins compute with; numbers may change with a version of these."""

_LOOSE = frozenset({"conftest", "docs", "examples", "noxfile", "setup", "test", "tests"})
"""What lies beside the packages of a project and is not installed with them."""

_MODULE = "module "
"""Begins the name of a module of no distribution."""

_NEVER_AGAIN = secrets.token_hex(8)
"""Stands for the digest of a source that cannot be read: no other process has it."""


@frozen
class Installed:
    """A distribution, or a module that belongs to none and has no version.

    `source` is the digest of all its files, empty where there are none to read.
    """

    version: str
    source: str


def owner(module: str) -> str:
    """Return the distribution that a module belongs to, else 'module' and its top-level package, or itself."""
    package = module.partition(".")[0]
    return _owner(package) or f"{_MODULE}{package if _roots(package) else module}"


def installed(names: Iterable[str]) -> dict[str, Installed]:
    """Return what is installed under names of distributions or, as from `owner`, modules: name → version and source.

    Also of the distributions they require that are made for esper themselves, or installed in place.
    """
    wanted = [normalise_name(name) if installed_version(name) else name for name in names]
    found: dict[str, Installed] = {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _installed(name)
            wanted += [other for other in sorted(_requirements(name)) if _is_source(other)]
    return dict(sorted(found.items(), key=lambda entry: (entry[0] != CORE, entry[0])))


def made_with(modules: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return, JSON-able, what numbers depend on that are computed by the code of some modules, and by esper-core.

    `sources` has version and digest of everything that `installed` knows of them, `libraries` the versions of what they
    compute with.
    """
    found = installed({CORE, *map(owner, modules)})
    libraries = {*NUMERIC}.union(*map(_requirements, found)) - (_requirements(CORE) - {*NUMERIC}) - set(found)
    versions = {name: installed_version(name) for name in sorted(libraries)}
    return {
        "sources": {name: [entry.version, entry.source or _NEVER_AGAIN] for name, entry in found.items()},
        "libraries": {name: version for name, version in versions.items() if version},
    }


def forget() -> None:
    """Look at what is installed anew: a process otherwise keeps what it was when first asked."""
    for known in (_owner, _plugins, _installed, _requirements, _is_source):
        known.cache_clear()


def blamed(modules: Iterable[str]) -> str | None:
    """Return whose code failed: distribution and version of the last module that is a plugin's; None where none is."""
    plugins = {*map(name_of, _plugins())} - {CORE}
    owners = [name for name in map(owner, modules) if name in plugins]
    return f"{owners[-1]} {installed_version(owners[-1])}" if owners else None


def _distribution(name: str) -> metadata.Distribution | None:
    with contextlib.suppress(metadata.PackageNotFoundError, ValueError):
        return metadata.distribution(name)
    return None


@cache
def _plugins() -> tuple[metadata.Distribution, ...]:
    return tuple(filter(has_plugins, metadata.distributions()))


@cache
def _owner(package: str) -> str | None:
    # Few have plugins, and reading the files of all that is installed takes a while.
    for candidates in (_plugins(), metadata.distributions()):
        for distribution in candidates:
            if package in _top_level(distribution) and (name := name_of(distribution)):
                return name
    return None


@cache
def _requirements(name: str) -> frozenset[str]:
    """Return the names of what a distribution requires, extras left out."""
    with contextlib.suppress(Exception):
        return frozenset(required for required, _, marker in declarations(name) if "extra" not in marker)
    return frozenset()


@cache
def _is_source(name: str) -> bool:
    """Return whether a distribution is made for esper, or is installed in place and may change under its version."""
    distribution = _distribution(name)
    own = name == CORE or CORE in _requirements(name)
    return distribution is not None and (own or source_folder(distribution) is not None)


def _top_level(distribution: metadata.Distribution) -> set[str]:
    """Return the names of a distribution's packages and modules."""
    names = set(text_of(distribution, "top_level.txt").split())
    with contextlib.suppress(Exception):
        names = names or set(_listed(distribution))
    return names | plugin_packages(distribution)


def _listed(distribution: metadata.Distribution) -> Iterator[str]:
    """Yield what the list of a distribution's files has at the top, and what lies in folders that it points to."""
    for file in distribution.files or ():
        first = file.parts[0]
        if file.suffix == ".pth":
            folders = [line for line in Path(str(file.locate())).read_text().splitlines() if Path(line).is_dir()]
            yield from (module.name for module in pkgutil.iter_modules(folders) if module.name not in _LOOSE)
        else:
            name = first if len(file.parts) > 1 else inspect.getmodulename(first)
            if name and name.isidentifier() and name != "__pycache__" and not name.startswith("__editable__"):
                yield name


@cache
def _installed(name: str) -> Installed:
    distribution = _distribution(name)
    packages = {name.removeprefix(_MODULE)} if distribution is None else _top_level(distribution)
    digest, has_files = hashlib.sha256(), False
    for package in sorted(packages):
        for root in _roots(package):
            for path in _files(root):
                has_files = True
                name_of_file = f"{package}/{path.relative_to(root.parent).as_posix()}\0"
                digest.update(name_of_file.encode(errors="surrogateescape"))
                # What cannot be read now could not be used either.
                with contextlib.suppress(OSError):
                    digest.update(hashlib.sha256(path.read_bytes()).digest())
    return Installed(installed_version(name), digest.hexdigest()[:16] if has_files else "")


def _roots(package: str) -> list[Path]:
    """Return the folders of a package, or the file of a module."""
    with contextlib.suppress(Exception):
        spec = importlib.util.find_spec(package) if "." not in package else None
        if spec is not None and spec.submodule_search_locations is not None:
            return [Path(folder) for folder in spec.submodule_search_locations]
        if spec is not None and spec.origin is not None:
            return [Path(spec.origin)]
    file = getattr(sys.modules.get(package), "__file__", None)
    return [] if file is None else [Path(file)]


def _files(root: Path) -> list[Path]:
    """Return a file, or all files of a folder but what Python and the system's tools leave there."""
    if root.is_file():
        return [root]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".") and not name.endswith(".pyc")]
    return sorted(path for path in found if path.is_file())
