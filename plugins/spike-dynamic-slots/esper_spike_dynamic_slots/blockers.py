"""From failed checks to what they come from: which line of which plugin, of what kind, and who else uses it.

A failure that was raised in a plugin points there by itself. Others, such as a slot head of the wrong width, point to
the components that the check looks at. Either way the source of the component is searched for a slot count, and what a
check says about itself tells which: the one it passes with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import define, field, frozen

from esper_core.registry.index import Component, Index
from esper_core.registry.lookup import find_planned
from esper_core.registry.plan import Plan
from esper_core.spikes.verdict import Blocker, Complexity, Failure, Place
from esper_spike_dynamic_slots.categories import CATEGORIES, find_checks
from esper_spike_dynamic_slots.constants import Constant, find_constants
from esper_spike_dynamic_slots.source import Definition, Sources

HARD_CODED, NOT_PROPAGATED, SHAPE, OTHER = "slot-count-hard-coded", "slots-not-propagated", "shape-mismatch", "other"

LOW_PLACES, HIGH_PLACES, HIGH_FILES = 5, 15, 3
"""Low: at most so many places, all in one file. High: more places or more files than this. Else medium."""

_SHAPE = re.compile(
    r"(?i)\b(sizes?|shapes?|dim(ension)?s?|widths?|wide|mat1|broadcast\w*|outputs|out of (range|bounds))\b"
)
_LISTS = re.compile(r"\[[^\]]*\]")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")


@frozen
class _Group:
    """Failures of one check in one place.

    Attributes:
        failures: The failures, of different slot counts.
        passing: Slot counts with which the check passes.
        frame: Deepest line of a component in the traceback, or None.
    """

    failures: tuple[Failure, ...]
    passing: tuple[int, ...]
    frame: Place | None

    @property
    def message(self) -> str:
        """What was wrong, at first."""
        return self.failures[0].message

    @property
    def suspects(self) -> frozenset[int]:
        """Slot counts that may be written into source: where the check passes, else what messages have in common."""
        if self.passing:
            return frozenset((min(self.passing), max(self.passing)))
        said = [
            {int(number) for number in _NUMBER.findall(_LISTS.sub("", f.message))} - {f.slots} for f in self.failures
        ]
        return frozenset(number for number in set.intersection(*said) if number > 1)


@define
class _Cause:
    """A place that failures come from."""

    kind: str
    place: Place
    what: str
    name: str
    failures: list[Failure] = field(factory=list)


def find_blockers(plan: Plan, index: Index, failures: Sequence[Failure], slots: Sequence[int]) -> list[Blocker]:
    """Return what failures come from, each place once, those with most failures first.

    Args:
        plan: What was checked.
        index: Where its components are looked up.
        failures: Failures of the checks of this spike.
        slots: The slot counts asked for.
    """
    components = [find_planned(index, planned) for planned in plan.components]
    sources = Sources(components)
    causes: dict[tuple[str, int], _Cause] = {}
    for group in _groups(failures, slots, sources):
        for cause in _causes(group, components, sources):
            known = causes.setdefault((cause.place.file, cause.place.line), cause)
            known.failures += [failure for failure in group.failures if failure not in known.failures]
    ordered = sorted(causes.values(), key=lambda cause: -len(cause.failures))
    return [_blocker(cause, sources) for cause in ordered]


def _groups(failures: Sequence[Failure], slots: Sequence[int], sources: Sources) -> list[_Group]:
    tables: dict[tuple[str, str], dict[Place | None, list[Failure]]] = {}
    known = {checks.category for checks in CATEGORIES}
    for failure in failures:
        if failure.category not in known:  # a module of checks that cannot be imported
            continue
        check = (failure.category, failure.check.partition("[")[0])
        frames = [place for place in failure.trace if sources.owners(place.file)]
        frame = frames[-1] if frames else None
        tables.setdefault(check, {}).setdefault(frame, []).append(failure)
    groups = []
    for (category, _), places in tables.items():
        failing = {failure.slots for group in places.values() for failure in group}
        passing = tuple(count for count in find_checks(category).slots(slots) if count not in failing)
        groups += [_Group(tuple(group), passing, frame) for frame, group in places.items()]
    return groups


def _causes(group: _Group, components: Sequence[Component], sources: Sources) -> list[_Cause]:
    """Return the places that a group of failures comes from."""
    if group.frame is not None:
        subjects = _at(group.frame, sources)
    else:
        kinds = find_checks(group.failures[0].category).subjects
        subjects = [c for kind in kinds for c in components if c.kind == kind]
    for component in subjects:
        constants = _constants(component, group, sources)
        if constants:
            return [_constant_cause(constant, component) for constant in constants]
    kind = SHAPE if _SHAPE.search(group.message) else OTHER
    component = subjects[0]
    definition = _enclosing(sources.reachable(component), group.frame)
    what = f"{component.kind} '{component.name}': {group.message}"
    if group.frame is not None:
        return [_Cause(kind, group.frame, what, definition.name if definition else "")]
    if definition is None:
        return []
    return [_Cause(kind, definition.module.place(definition.node.lineno), what, definition.name)]


def _at(frame: Place, sources: Sources) -> list[Component]:
    """Return the components that a line belongs to: those made of it, else those whose package holds it."""
    owners = sources.owners(frame.file)
    return [c for c in owners if any(d.covers(frame) for d in sources.reachable(c))] or owners


def _enclosing(definitions: Sequence[Definition], frame: Place | None) -> Definition | None:
    """Return the definition that holds a line; the factory, which comes first, where there is none."""
    holding = [d for d in definitions if frame is not None and d.covers(frame)]
    return next(iter(holding or definitions), None)


def _constants(component: Component, group: _Group, sources: Sources) -> list[Constant]:
    """Return the slot counts in the source of a component that explain failures, the best kind of evidence alone."""
    definitions = sources.reachable(component)
    found = [c for definition in definitions for c in find_constants(definition, group.suspects)]
    here = [c for c in found if group.frame is not None and c.place[:2] == group.frame[:2]]
    named = [c for c in found if c.form != "number"]
    if here or named:
        return here or named
    # Bare numbers are weaker evidence: they count where the error was raised, or nearest to the factory.
    if group.frame is not None:
        found = [c for c in found if c.definition.covers(group.frame)]
    return [c for c in found if c.definition is found[0].definition]


def _constant_cause(constant: Constant, component: Component) -> _Cause:
    owner = f"{component.kind} '{component.name}'"
    if constant.form == "default":
        what = f"{owner}: `{constant.place.text}` asks for a slot count that nobody passes on"
        return _Cause(NOT_PROPAGATED, constant.place, what, constant.name)
    what = f"{owner}: `{constant.place.text}` fixes the slot count to {constant.value}"
    return _Cause(HARD_CODED, constant.place, what, constant.name)


def _blocker(cause: _Cause, sources: Sources) -> Blocker:
    own = (cause.place.file, cause.place.line)
    consumers = [place for place in sources.uses(cause.name) if place[:2] != own] if cause.name else []
    counts = sorted({failure.slots for failure in cause.failures if failure.slots is not None})
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
