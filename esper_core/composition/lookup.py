"""One component of a plan, and the installed one that it names. A recorded name is compared, never imported."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import UnknownComponent
from esper_core.contracts.plain import to_exact
from esper_core.registry.bringing import bring_back
from esper_core.registry.index import Component, Index
from esper_core.registry.resolve import absence, absent_plugins


@frozen(kw_only=True)
class PlannedComponent:
    """One component of a plan, with its full config."""

    kind: str
    name: str
    distribution: str
    version: str
    # Compared as it is written, since a number that is none equals nothing, not even itself.
    config: dict[str, Any] = field(factory=dict, eq=to_exact)

    @property
    def key(self) -> str:
        """`kind/name`."""
        return f"{self.kind}/{self.name}"


def find_planned(index: Index, planned: PlannedComponent) -> Component:
    """Return the installed component that a plan names; raises UnknownComponent."""
    found = [c for c in index.components if c.key == planned.key]
    for component in found:
        if normalise_name(component.distribution) == normalise_name(planned.distribution):
            return component
    others = ", ".join(c.origin for c in found)
    absent = absence(index, planned.distribution)
    installed = f"It is installed from {others} instead." if found else f"It is {absent}."
    command = bring_back([(planned.distribution, planned.version)]) if absent == "not installed" else ""
    raise UnknownComponent(
        f"The plan needs {planned.kind} '{planned.name}' from {planned.distribution} {planned.version}. {installed}",
        hint=f"{command}\n{absent_plugins(index)}".strip(),
    )
