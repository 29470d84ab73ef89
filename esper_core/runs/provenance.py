"""Where a run comes from: distributions, source digests, machine and library versions; no torch."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esper_core.registry.lookup import find_planned

if TYPE_CHECKING:
    from esper_core.registry.index import Index
    from esper_core.registry.plan import Plan

LIBRARIES = ("torch", "numpy", "gymnasium", "scikit-learn", "safetensors", "attrs", "cattrs", "pluggy")


def distributions(plan: Plan, index: Index) -> dict[str, dict[str, Any]]:
    """Return what every distribution of a plan is: name → version and source digest; esper-core comes first."""
    used = {"esper-core": _version("esper-core")}
    packages = {"esper-core": {"esper_core"}}
    for planned in plan.components:
        component = find_planned(index, planned)
        used.setdefault(component.distribution, component.version)
        packages.setdefault(component.distribution, set()).add(component.spec.factory.partition(".")[0])
    return {
        name: {"version": version, "source": source_digest(tuple(sorted(packages[name])))}
        for name, version in used.items()
    }


def weights_versions(plan: Plan, index: Index) -> dict[str, int]:
    """Return the weights version of every component of a plan: `kind/name` → version."""
    return {planned.key: find_planned(index, planned).spec.weights_version for planned in plan.components}


@cache
def source_digest(packages: tuple[str, ...]) -> str:
    """Return a short digest of the Python sources of installed packages; packages are found, not imported."""
    digest = hashlib.sha256()
    for package in packages:
        for root in _folders(package):
            for path in sorted(root.rglob("*.py")):
                digest.update(f"{package}/{path.relative_to(root).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _folders(package: str) -> list[Path]:
    name = package.partition(":")[0]
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(name)
        if spec is not None:
            return [Path(folder) for folder in spec.submodule_search_locations or ()]
    return []


def libraries() -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers depend on."""
    found = {name: _version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **{name: version for name, version in found.items() if version}}


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Return what kind of machine this is."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": cores(),
        "executable": sys.executable,
    }


def core_command(record: Mapping[str, Any]) -> str:
    """Return the command that installs the esper-core which wrote a record, as far as the record says."""
    try:
        version = record["distributions"]["esper-core"]["version"]
    except (KeyError, TypeError):
        version = None
    if version in (None, _version("esper-core")):
        return "pip install --upgrade esper-core"
    return f'pip install "esper-core=={version}"'


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
