"""One component of a plan, and the installed one that it names. A recorded name is compared, never imported."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import UnknownComponent
from esper_core.contracts.plain import to_exact
from esper_core.registry.distributions import reinstall_advice
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

    @classmethod
    def of(cls, component: Component, config: dict[str, Any]) -> PlannedComponent:
        """Return a component as a plan keeps it."""
        origin = {"distribution": component.distribution, "version": component.version}
        return cls(kind=component.kind, name=component.name, config=config, **origin)

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
    absent = absence(index, planned.distribution)
    state = f"installed from {', '.join(c.origin for c in found)} instead" if found else absent
    advice = reinstall_advice([(planned.distribution, planned.version)]) if absent == "not installed" else ""
    origin = f"{planned.distribution} {planned.version}"
    raise UnknownComponent(
        f"The plan needs {planned.kind} '{planned.name}' from {origin}. It is {state}.",
        hint=f"{advice}\n{absent_plugins(index)}".strip(),
    )
