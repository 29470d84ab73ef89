"""How to bring back distributions that a plan or a checkpoint names; what it says may have been written by anybody."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from esper_core.contracts.components import normalise_name
from esper_core.registry.hookspecs import ENTRY_POINT_GROUP
from esper_core.system.machine import installed_version
from esper_core.system.packages import CORE_DISTRIBUTION, declarations, pinned, pip_install


def bring_back(versions: Iterable[tuple[str, str]]) -> str:
    """Return the line that installs distributions, and whom to ask about those that nothing installed knows.

    Args:
        versions: Name and version of each.
    """
    pins = {(name, version): pinned(name, version) if _is_known(name) else None for name, version in versions}
    unknown = " and ".join(f"'{name}' {version}" for (name, version), pin in pins.items() if pin is None)
    asked = f"Nothing installed here knows {unknown}: ask whoever made the run where to get it." if unknown else ""
    known = [pin for pin in pins.values() if pin is not None]
    return " ".join(filter(None, (pip_install(known) if known else "", asked)))


def _is_known(distribution: str) -> bool:
    """Return whether a distribution is installed, or required by the core or by one that brings plugins."""
    if installed_version(distribution):
        return True
    brings = {point.dist.name for point in metadata.entry_points(group=ENTRY_POINT_GROUP) if point.dist is not None}
    name = normalise_name(distribution)
    return any(name == declared for owner in {CORE_DISTRIBUTION, *brings} for declared, _, _ in declarations(owner))
