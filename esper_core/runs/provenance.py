"""Where a run comes from: distributions, source digests, machine and library versions; no torch."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from esper_core.plan.lookup import find_planned
from esper_core.registry import sources
from esper_core.registry.discovery import CORE_DISTRIBUTION
from esper_core.system.packages import pinned, pip_install

if TYPE_CHECKING:
    from esper_core.plan.plan import Plan
    from esper_core.registry.index import Index

LIBRARIES = ("torch", "numpy", "gymnasium", "scikit-learn", "safetensors", "attrs", "cattrs", "pluggy")


def distributions(plan: Plan, index: Index) -> dict[str, dict[str, str]]:
    """Return what every distribution of a plan is: name → version and digest of its source; esper-core comes first.

    With them come those that they require which are made for esper, or installed in place.
    """
    components = [find_planned(index, planned) for planned in plan.components]
    owners = {component.key: sources.owner(component.spec.module) for component in components}
    named = {component.distribution for component in components if sources.is_distribution(component.distribution)}
    found = sources.installed({CORE_DISTRIBUTION, *named, *owners.values()})
    said = {name: {"version": entry.version, "source": entry.source} for name, entry in found.items()}
    for component in components:
        # A plugin that was made by hand says which distribution it stands for.
        entry = found[owners[component.key]]
        said.setdefault(component.distribution, {"version": component.version, "source": entry.source})
    return said


def weights_versions(plan: Plan, index: Index) -> dict[str, int]:
    """Return the weights version of every component of a plan: `kind/name` → version."""
    return {planned.key: find_planned(index, planned).spec.weights_version for planned in plan.components}


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
    pin = pinned("esper-core", str(version))
    return "pip install --upgrade esper-core" if pin is None else pip_install([pin])


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
