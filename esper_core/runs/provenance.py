"""Where a run comes from: its distributions, their sources and the versions of their weights; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from esper_core.composition.lookup import find_planned
from esper_core.registry import sources
from esper_core.system.machine import installed_version
from esper_core.system.packages import CORE_DISTRIBUTION, pinned, pip_install

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.registry.index import Index


def distributions(plan: Plan, index: Index) -> dict[str, dict[str, str]]:
    """Return what every distribution of a plan is: name → version and digest of its source; esper-core comes first.

    With them come those that they require which are made for esper, or installed in place.
    """
    components = [find_planned(index, planned) for planned in plan.components]
    owners = {component.key: sources.owner(component.spec.module) for component in components}
    named = {component.distribution for component in components if installed_version(component.distribution)}
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


def core_advice(record: Mapping[str, Any]) -> str:
    """Return what to do about a record that another esper-core wrote."""
    saved = record["distributions"].get(CORE_DISTRIBUTION, {}).get("version")
    if saved == installed_version(CORE_DISTRIBUTION):
        return f"It was written with another source of {CORE_DISTRIBUTION} {saved}: use that, or train again."
    return f"Use the version of {CORE_DISTRIBUTION} that wrote it: {core_command(record)}"


def core_command(record: Mapping[str, Any]) -> str:
    """Return the command that installs the esper-core which wrote a record, as far as the record says."""
    try:
        version = record["distributions"]["esper-core"]["version"]
    except (KeyError, TypeError):
        version = None
    if version in (None, installed_version(CORE_DISTRIBUTION)):
        return "pip install --upgrade esper-core"
    pin = pinned("esper-core", str(version))
    return "pip install --upgrade esper-core" if pin is None else pip_install([pin])
