"""From a recorded component back to the installed one. A recorded name is compared, never imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import UnknownComponent
from esper_core.contracts.foreign import Owners
from esper_core.registry.bringing import bring_back
from esper_core.registry.index import Component, Index
from esper_core.registry.resolve import absent_plugins

if TYPE_CHECKING:
    from esper_core.plan.plan import Plan


class Recorded(Protocol):
    """What a plan says about one of its components."""

    @property
    def kind(self) -> str:
        """Name of the kind."""
        ...

    @property
    def name(self) -> str:
        """Name within the kind."""
        ...

    @property
    def distribution(self) -> str:
        """Distribution it comes from."""
        ...

    @property
    def version(self) -> str:
        """Version of that distribution."""
        ...


def find_planned(index: Index, planned: Recorded) -> Component:
    """Return the installed component that a plan names; raises UnknownComponent."""
    found = [c for c in index.components if (c.kind, c.name) == (planned.kind, planned.name)]
    for component in found:
        if normalise_name(component.distribution) == normalise_name(planned.distribution):
            return component
    others = ", ".join(c.origin for c in found)
    installed = f"It is installed from {others} instead." if found else "It is not installed."
    raise UnknownComponent(
        f"The plan needs {planned.kind} '{planned.name}' from {planned.distribution} {planned.version}. {installed}",
        hint=f"{bring_back([(planned.distribution, planned.version)])} {absent_plugins(index)}".strip(),
    )


def owners_of(plan: Plan, index: Index) -> Owners:
    """Return whose code the parts of a plan are; raises UnknownComponent."""
    return Owners({planned.kind: find_planned(index, planned).owner for planned in plan.components})
