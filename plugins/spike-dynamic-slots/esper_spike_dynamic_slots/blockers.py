"""Causes of failed checks: which line of which plugin, of what kind, and what else uses it.

A failure that was raised in a plugin points there by itself. Others, such as a slot head of the wrong width, point to
the components that the check looks at. Either way the source of the component is searched for a slot count, and with
which counts a check passes tells which.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from attrs import define, field

from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan
from esper_core.registry.index import Component, Index
from esper_spike_dynamic_slots.categories import find_checks
from esper_spike_dynamic_slots.constants import Constant, find_constants
from esper_spike_dynamic_slots.consumers import Consumers
from esper_spike_dynamic_slots.evidence import Group, group_failures, own_slots, suspected_kinds
from esper_spike_dynamic_slots.source import Definition, Sources
from esper_testing.spikes.verdict import Blocker, Category, Complexity, Failure, Place

HARD_CODED, NOT_PROPAGATED, SHAPE, OTHER = "slot-count-hard-coded", "slots-not-propagated", "shape-mismatch", "other"

AROUND = ("masks", "environment")
"""Kinds that checks of the architecture do not use."""

LOW_PLACES, HIGH_PLACES, HIGH_FILES = 5, 15, 3
"""Low: at most so many places, all in one file. High: more places or more files than this. Else medium."""

_SHAPE = re.compile(
    r"(?i)\b(sizes?|shapes?|dim(ension)?s?|widths?|wide|mat1|broadcast\w*|\d+ outputs|out of (range|bounds))\b"
)
_WORD = re.compile(r"[^\W\d]\w*")


@define
class _Cause:
    """A place that failures come from.

    Attributes:
        kind: One of the kinds of blocker.
        place: The line.
        what: What is wrong there, as text.
        name: Name by which uses are searched.
        definition: What it stands in.
        around: It is in masks or environment.
        failures: What comes from it.
    """

    kind: str
    place: Place
    what: str
    name: str
    definition: Definition
    around: bool
    failures: list[Failure] = field(factory=list)

    def explains(self, group: Group) -> bool:
        """Return whether a group of failures can be a consequence: same slot counts, and it takes part in the check."""
        same = own_slots(group.failures) <= own_slots(self.failures)
        return same and (group.integration or not self.around)


def find_blockers(
    plan: Plan, index: Index, categories: Sequence[Category], failures: Sequence[Failure], slots: Sequence[int]
) -> list[Blocker]:
    """Return what failures come from, each place once, those with most failures first.

    Args:
        plan: What was checked.
        index: Where its components are looked up.
        categories: What came of the checks of this spike.
        failures: Those that failed.
        slots: The slot counts asked for.
    """
    sources = Sources([find_planned(index, planned) for planned in plan.components])
    groups = group_failures(failures, slots, sources)
    causes: dict[tuple[str, int], _Cause] = {}

    def explained(group: Group) -> list[_Cause]:
        return [cause for cause in causes.values() if cause.explains(group)][:1]

    def blame(group: Group, found: Sequence[_Cause]) -> None:
        for cause in found:
            known = causes.setdefault((cause.place.file, cause.place.line), cause)
            known.failures += [failure for failure in group.failures if failure not in known.failures]

    # Slot counts in the source first, and the architecture before what surrounds it: of what is left, much is a mere
    # consequence.
    for integration in (False, True):
        kinds = suspected_kinds(categories, integration=integration)
        unexplained = []
        for group in (group for group in groups if group.integration == integration):
            found = _written(group, sources, kinds, alone=not (integration and explained(group)))
            blame(group, found)
            if not found:
                unexplained.append(group)
        for group in unexplained:
            blame(group, explained(group) or [_raised(group, sources, kinds)])
    ordered = sorted(causes.values(), key=lambda cause: -len(cause.failures))
    return [_blocker(cause, sources) for cause in ordered]


def _subjects(group: Group, sources: Sources, kinds: Collection[str]) -> list[Component]:
    """Return the components that may be at fault, the likeliest first.

    Those that a line belongs to; else those that the message names; else those that the check looks at, which are
    likelier when other failures point to their kind too.
    """
    if group.frame is not None:
        owners = sources.owners(group.frame.file)
        return [c for c in owners if any(d.covers(group.frame) for d in sources.reachable(c))] or owners
    named = [c for c in sources.components if f"{c.kind} '{c.name}'" in group.message]
    looked_at = find_checks(group.category).subjects
    ordered = sorted(looked_at, key=lambda kind: kind not in kinds)
    return named or [component for kind in ordered for component in sources.components if component.kind == kind]


def _written(group: Group, sources: Sources, kinds: Collection[str], *, alone: bool) -> list[_Cause]:
    """Return the slot counts in source that explain a group of failures.

    Args:
        group: The failures.
        sources: The components.
        kinds: Kinds of component that other failures point to.
        alone: Nothing else explains them. Where no line is known, bare numbers in the likeliest component count then:
            they are weak evidence.
    """
    for position, component in enumerate(_subjects(group, sources, kinds)):
        numbers = group.frame is not None or (alone and position == 0)
        constants = _constants(component, group, sources, numbers=numbers)
        if constants:
            return [_constant_cause(constant, component) for constant in constants]
    return []


def _constants(component: Component, group: Group, sources: Sources, *, numbers: bool) -> list[Constant]:
    """Return the slot counts in the source of a component that explain failures, the best kind of evidence alone."""
    definitions = sources.reachable(component)
    words = _WORD.findall(group.frame.text) if group.frame is not None else ()
    found = [c for definition in definitions for c in find_constants(definition, group.counts, words)]
    here = [c for c in found if group.frame is not None and (c.place[:2] == group.frame[:2] or c.name in words)]
    named = [c for c in found if c.form != "number"]
    if here or named or not numbers:
        return here or named
    # Numbers count where the error was raised; and beside the factory, if there is a slot count that passes.
    holding = [c for c in found if group.frame is not None and c.definition.covers(group.frame)]
    near = [c for c in found if group.passing and c.definition.module is definitions[0].module]
    best = holding or near
    return [c for c in best if c.definition is best[0].definition]


def _constant_cause(constant: Constant, component: Component) -> _Cause:
    owner = f"{component.kind} '{component.name}'"
    if constant.form == "default":
        kind, what = NOT_PROPAGATED, f"{owner}: `{constant.place.text}` asks for a slot count that is never passed on"
    else:
        kind, what = HARD_CODED, f"{owner}: `{constant.place.text}` fixes the slot count to {constant.value}"
    return _Cause(kind, constant.place, what, constant.name, constant.definition, component.kind in AROUND)


def _raised(group: Group, sources: Sources, kinds: Collection[str]) -> _Cause:
    """Return where a group of failures was raised, else the factory of the component it is most likely about."""
    component = _subjects(group, sources, kinds)[0]
    definitions = sources.reachable(component)
    holding = [d for d in definitions if group.frame is not None and d.covers(group.frame)] or definitions
    place = group.frame or holding[0].module.place(holding[0].node.lineno)
    kind = SHAPE if _SHAPE.search(group.message) else OTHER
    what = f"{component.kind} '{component.name}': {group.message.rstrip('.:')}"
    return _Cause(kind, place, what, holding[0].name, holding[0], component.kind in AROUND)


def _blocker(cause: _Cause, sources: Sources) -> Blocker:
    own = (cause.place.file, cause.place.line)
    consumers = [place for place in Consumers(sources).find(cause.definition, cause.name) if place[:2] != own]
    counts = sorted(own_slots(cause.failures))
    number = len(cause.failures)
    failing = f"{number} check{'s' * (number > 1)} fail{'s' * (number == 1)}"
    return Blocker(
        description=f"{cause.what}; {failing} at slots {', '.join(map(str, counts))}",
        kind=cause.kind,
        file=cause.place.file,
        line=cause.place.line,
        complexity=_complexity(cause.place, consumers),
        consumers=consumers,
    )


def _complexity(place: Place, consumers: Sequence[Place]) -> Complexity:
    places = 1 + len(consumers)
    files = len({place.file, *(consumer.file for consumer in consumers)})
    if files == 1 and places <= LOW_PLACES:
        return "low"
    return "high" if files > HIGH_FILES or places > HIGH_PLACES else "medium"
