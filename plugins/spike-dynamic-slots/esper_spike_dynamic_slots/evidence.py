"""Evidence of failed checks: where errors were raised, and with which slot counts a check passes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from esper_spike_dynamic_slots.categories import CATEGORIES, SAVED_SLOTS, find_checks
from esper_spike_dynamic_slots.source import Sources
from esper_testing.conformance import suite
from esper_testing.spikes.verdict import Category, Failure, Place

CONFORMANCE = Path(suite.__file__).parent
NAMES = tuple(checks.category for checks in CATEGORIES)

_LISTS = re.compile(r"\[[^\]]*\]")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")


@frozen
class Group:
    """Failures of one check in one place.

    Attributes:
        failures: The failures, of different slot counts.
        passing: Slot counts with which the check passes.
        failing: Slot counts with which it fails, in whatever place.
        frame: Deepest line of a component in the traceback, or None.
    """

    failures: tuple[Failure, ...]
    passing: tuple[int, ...]
    failing: tuple[int, ...]
    frame: Place | None

    @property
    def category(self) -> str:
        """Category of the check."""
        return self.failures[0].category

    @property
    def message(self) -> str:
        """The first message."""
        return self.failures[0].message

    @property
    def integration(self) -> bool:
        """Whether the check involves masks or environment."""
        return find_checks(self.category).integration

    @property
    def counts(self) -> frozenset[int]:
        """Slot counts that may be hard-coded: those with which the check passes, else numbers in all messages."""
        if self.passing:
            return suspected(self.passing, self.failing)
        # Messages of conformance checks hold sizes that have nothing to do with slots.
        own = [f for f in self.failures if CONFORMANCE not in Path(f.file).parents]
        numbers = [{int(number) for number in _NUMBER.findall(_LISTS.sub("", f.message))} - {f.slots} for f in own]
        return frozenset(number for number in set.intersection(*numbers) if number > 1) if numbers else frozenset()


def group_failures(failures: Sequence[Failure], slots: Sequence[int], sources: Sources) -> list[Group]:
    """Return failures by check and by where they were raised, in the order of the categories.

    `slots` are those asked for. Modules of checks that cannot be imported are left out.
    """
    tables: dict[tuple[str, str], dict[Place | None, list[Failure]]] = {}
    for failure in failures:
        if failure.category in NAMES:
            frames = [place for place in failure.trace if sources.owners(place.file)]
            places = tables.setdefault((failure.category, failure.check.partition("[")[0]), {})
            places.setdefault(frames[-1] if frames else None, []).append(failure)
    groups = []
    for (category, _), places in tables.items():
        failing = own_slots([failure for group in places.values() for failure in group])
        passing = tuple(count for count in find_checks(category).slots(slots) if count not in failing)
        groups += [Group(tuple(group), passing, tuple(failing), frame) for frame, group in places.items()]
    return sorted(groups, key=lambda group: NAMES.index(group.category))


def own_slots(failures: Sequence[Failure]) -> set[int]:
    """Return the slot counts with which checks fail.

    A checkpoint that cannot be made for one slot count is no evidence about the count it was to be loaded with, so
    such pairs count only where there are no others.
    """
    alone = [failure for failure in failures if failure.params.get(SAVED_SLOTS, failure.slots) == failure.slots]
    return {failure.slots for failure in alone or failures if failure.slots is not None}


def suspected(passing: Sequence[int], failing: Sequence[int]) -> frozenset[int]:
    """Return the slot counts that, written into source, would make a check pass and fail like this.

    What is made for exactly k slots passes with k; what has room for k, up to k; what needs k, from k on. That a single
    slot alone fails has other reasons, such as an axis that is squeezed away.
    """
    low, high = min(passing), max(passing)
    below, above = [count for count in failing if count < low], [count for count in failing if count > high]
    if len(below) + len(above) < len(failing) or set(failing) == {1}:
        return frozenset()
    if below and above:
        return frozenset((low,)) if low == high else frozenset()
    return frozenset(range(high, min(above)) if above else range(max(below) + 1, low + 1))


def suspected_kinds(categories: Sequence[Category], *, integration: bool) -> set[str]:
    """Return the kinds that all categories with failures look at, less those that any without failures looks at.

    Where nothing is left, all that categories with failures have in common are suspected. `integration` selects the
    categories that need environment and masks, or the others.
    """
    looked_at = {c.name: set(find_checks(c.name).subjects) for c in categories if c.name in NAMES}
    failing = [looked_at[c.name] for c in categories if c.failed and c.name in NAMES and c.integration == integration]
    fine = [looked_at[c.name] for c in categories if c.passed == c.declared and c.name in NAMES]
    common = set.intersection(*failing) if failing else set()
    return common.difference(*fine) or common
