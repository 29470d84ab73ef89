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
    known: list[str] = []
    unknown: list[str] = []
    for name, version in dict.fromkeys(versions):
        pin = pinned(name, version) if is_known(name) else None
        known += [pin] if pin is not None else []
        unknown += [f"'{name}' {version}"] if pin is None else []
    asked = (
        f"Nothing installed here knows {' and '.join(unknown)}: ask whoever made the run where to get it."
        if unknown
        else ""
    )
    return " ".join(filter(None, (pip_install(known) if known else "", asked)))


def is_known(distribution: str) -> bool:
    """Return whether a distribution is installed, or required by the core or by one that brings plugins."""
    if installed_version(distribution):
        return True
    brings = (point.dist.name for point in metadata.entry_points(group=ENTRY_POINT_GROUP) if point.dist is not None)
    name = normalise_name(distribution)
    return any(name == declared for owner in {CORE_DISTRIBUTION, *brings} for declared, _, _ in declarations(owner))
