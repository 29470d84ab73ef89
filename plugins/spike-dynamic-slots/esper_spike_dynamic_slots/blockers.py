"""From failed checks to what they come from: which line of which plugin, of what kind, and who else uses it.

A failure that was raised in a plugin points there by itself. Others, such as a slot head of the wrong width, point to
the components that the check looks at. Either way the source of the component is searched for a slot count, and what a
check says about itself tells which: the one it passes with.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from attrs import define, field, frozen

from esper_core.registry.index import Component, Index
from esper_core.registry.lookup import find_planned
from esper_core.registry.plan import Plan
from esper_core.spikes.verdict import Blocker, Category, Complexity, Failure, Place
from esper_spike_dynamic_slots.categories import CATEGORIES, SAVED_SLOTS, find_checks
from esper_spike_dynamic_slots.constants import Constant, find_constants
from esper_spike_dynamic_slots.source import Sources

HARD_CODED, NOT_PROPAGATED, SHAPE, OTHER = "slot-count-hard-coded", "slots-not-propagated", "shape-mismatch", "other"

_NAMES = tuple(checks.category for checks in CATEGORIES)

AROUND = ("masks", "environment")
"""Kinds that the architecture is checked without."""

LOW_PLACES, HIGH_PLACES, HIGH_FILES = 5, 15, 3
"""Low: at most so many places, all in one file. High: more places or more files than this. Else medium."""

_SHAPE = re.compile(
    r"(?i)\b(sizes?|shapes?|dim(ension)?s?|widths?|wide|mat1|broadcast\w*|outputs|out of (range|bounds))\b"
)
_WORD = re.compile(r"[^\W\d]\w*")
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

    @property
    def category(self) -> str:
        """Category of the check."""
        return self.failures[0].category

    @property
    def integration(self) -> bool:
        """Whether masks or environment have a part in it."""
        return find_checks(self.category).integration


@define
class _Cause:
    """A place that failures come from.

    Attributes:
        kind: One of the kinds of blocker.
        place: The line.
        what: What is wrong there, for people.
        name: What uses of it are found by; empty for none.
        around: It lies in masks or environment, which the architecture is checked without.
        failures: What comes from it.
    """

    kind: str
    place: Place
    what: str
    name: str
    around: bool
    failures: list[Failure] = field(factory=list)

    def explains(self, group: _Group) -> bool:
        """Return whether a group of failures can be a consequence: same slot counts, and it has a part in the check."""
        same = _own_slots(group.failures) <= _own_slots(self.failures)
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
    components = [find_planned(index, planned) for planned in plan.components]
    sources = Sources(components)
    causes: dict[tuple[str, int], _Cause] = {}
    suspects = _suspects(categories)

    def blame(group: _Group, found: Sequence[_Cause]) -> None:
        for cause in found:
            known = causes.setdefault((cause.place.file, cause.place.line), cause)
            known.failures += [failure for failure in group.failures if failure not in known.failures]

    # What a slot count in the source explains comes first, and what the architecture fails at by itself: the rest is
    # often a mere consequence of it.
    unexplained = []
    for group in _groups(failures, slots, sources):
        found = _constant_causes(group, components, sources)
        blame(group, found)
        if not found:
            unexplained.append(group)
    for group in sorted(unexplained, key=lambda group: _NAMES.index(group.category)):
        blame(
            group,
            [cause for cause in causes.values() if cause.explains(group)][:1]
            or _place(group, components, sources, suspects),
        )
    ordered = sorted(causes.values(), key=lambda cause: -len(cause.failures))
    return [_blocker(cause, sources) for cause in ordered]


def _suspects(categories: Sequence[Category]) -> set[str]:
    """Return the kinds that every category with failures looks at and none without."""
    checks = {c.name: set(find_checks(c.name).subjects) for c in categories if c.name in _NAMES}
    failing = [checks[c.name] for c in categories if c.failed and c.name in checks]
    fine = [checks[c.name] for c in categories if c.passed == c.declared and c.name in checks]
    return set.intersection(*failing).difference(*fine) if failing else set()


def _groups(failures: Sequence[Failure], slots: Sequence[int], sources: Sources) -> list[_Group]:
    tables: dict[tuple[str, str], dict[Place | None, list[Failure]]] = {}
    for failure in failures:
        if failure.category not in _NAMES:  # a module of checks that cannot be imported
            continue
        check = (failure.category, failure.check.partition("[")[0])
        frames = [place for place in failure.trace if sources.owners(place.file)]
        frame = frames[-1] if frames else None
        tables.setdefault(check, {}).setdefault(frame, []).append(failure)
    groups = []
    for (category, _), places in tables.items():
        failing = _own_slots([failure for group in places.values() for failure in group])
        passing = tuple(count for count in find_checks(category).slots(slots) if count not in failing)
        groups += [_Group(tuple(group), passing, frame) for frame, group in places.items()]
    return groups


def _subjects(group: _Group, components: Sequence[Component], sources: Sources) -> list[Component]:
    """Return the components that may be at fault, the most likely first."""
    if group.frame is not None:
        return _at(group.frame, sources)
    kinds = find_checks(group.category).subjects
    return [component for kind in kinds for component in components if component.kind == kind]


def _constant_causes(group: _Group, components: Sequence[Component], sources: Sources) -> list[_Cause]:
    """Return the slot counts in source that explain a group of failures."""
    for component in _subjects(group, components, sources):
        constants = _constants(component, group, sources)
        if constants:
            return [_constant_cause(constant, component) for constant in constants]
    return []


def _place(group: _Group, components: Sequence[Component], sources: Sources, suspects: Collection[str]) -> list[_Cause]:
    """Return where a group of failures was raised, else the factory of the component it is most likely about.

    Args:
        group: The failures.
        components: Those of the plan.
        sources: Their sources.
        suspects: Kinds that come before all others.
    """
    subjects = _subjects(group, components, sources)
    component = next((subject for subject in subjects if subject.kind in suspects), subjects[0])
    definitions = sources.reachable(component)
    holding = [d for d in definitions if group.frame is not None and d.covers(group.frame)] or definitions
    place = group.frame or holding[0].module.place(holding[0].node.lineno)
    kind = SHAPE if _SHAPE.search(group.message) else OTHER
    what = f"{component.kind} '{component.name}': {group.message.rstrip('.:')}"
    return [_Cause(kind, place, what, holding[0].name, component.kind in AROUND)]


def _at(frame: Place, sources: Sources) -> list[Component]:
    """Return the components that a line belongs to: those made of it, else those whose package holds it."""
    owners = sources.owners(frame.file)
    return [c for c in owners if any(d.covers(frame) for d in sources.reachable(c))] or owners


def _constants(component: Component, group: _Group, sources: Sources) -> list[Constant]:
    """Return the slot counts in the source of a component that explain failures, the best kind of evidence alone."""
    definitions = sources.reachable(component)
    words = _WORD.findall(group.frame.text) if group.frame is not None else ()
    found = [c for definition in definitions for c in find_constants(definition, group.suspects, words)]
    here = [c for c in found if group.frame is not None and (c.place[:2] == group.frame[:2] or c.name in words)]
    named = [c for c in found if c.form != "number"]
    if here or named:
        return here or named
    # Bare numbers are weaker evidence. They count where the error was raised; and beside the factory, as far as there
    # is a slot count with which the check passes.
    holding = [c for c in found if group.frame is not None and c.definition.covers(group.frame)]
    near = [c for c in found if group.passing and c.definition.module is definitions[0].module]
    best = holding or near
    return [c for c in best if c.definition is best[0].definition]


def _constant_cause(constant: Constant, component: Component) -> _Cause:
    owner = f"{component.kind} '{component.name}'"
    if constant.form == "default":
        what = f"{owner}: `{constant.place.text}` asks for a slot count that nobody passes on"
        return _Cause(NOT_PROPAGATED, constant.place, what, constant.name, component.kind in AROUND)
    what = f"{owner}: `{constant.place.text}` fixes the slot count to {constant.value}"
    return _Cause(HARD_CODED, constant.place, what, constant.name, component.kind in AROUND)


def _blocker(cause: _Cause, sources: Sources) -> Blocker:
    own = (cause.place.file, cause.place.line)
    consumers = [place for place in sources.uses(cause.name) if place[:2] != own] if cause.name else []
    counts = sorted(count for count in _own_slots(cause.failures) if count is not None)
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


def _own_slots(failures: Sequence[Failure]) -> set[int | None]:
    """Return the slot counts with which checks fail.

    A checkpoint of another slot count that cannot be made says nothing about the one it was to be loaded with, so such
    pairs count only where there are no others.
    """
    alone = [failure for failure in failures if failure.params.get(SAVED_SLOTS, failure.slots) == failure.slots]
    return {failure.slots for failure in alone or failures}


def _complexity(place: Place, consumers: Sequence[Place]) -> Complexity:
    places = 1 + len(consumers)
    files = len({place.file, *(consumer.file for consumer in consumers)})
    if files == 1 and places <= LOW_PLACES:
        return "low"
    return "high" if files > HIGH_FILES or places > HIGH_PLACES else "medium"
