"""Making a check everywhere: with each slot count, and with each shape of action table."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.foreign import asks_to_stop
from esper_testing.case import Case
from esper_testing.conformance.subject import SLOTS, Subject
from esper_testing.conformance.suite import Skip
from esper_testing.location import summarise
from esper_testing.reference.config import LAYOUTS, NUMBERS
from esper_testing.reference.plugin import DISTRIBUTION

LAYOUT_SLOTS = 3
"""Slot count with which shapes of action table are tried."""

CaseCheck = Callable[[Subject, Case], None]


def everywhere(check: CaseCheck) -> Callable[[Subject], None]:
    """Return a check that is made for every slot count and every layout, whose messages say where it failed."""
    return _made_in(check, lambda subject: [*((slots, "") for slots in SLOTS), *_layouts(subject)])


def in_every_layout(check: CaseCheck) -> Callable[[Subject], None]:
    """Return a check that is made for every layout, but for one slot count: it is dear, and does not depend on it."""
    return _made_in(check, lambda subject: [(LAYOUT_SLOTS, ""), *_layouts(subject)])


def with_numbers(check: CaseCheck) -> Callable[[Subject], None]:
    """Return a check that is made for every layout with heads of numbers."""
    return _made_in(check, lambda subject: [place for place in _layouts(subject) if place[1] in NUMBERS])


def in_case(check: Callable[[Subject], None], subject: Subject, case: Case) -> None:
    """Make a check of `everywhere` or `in_every_layout` in one case alone, which may be of any plan."""
    inspect.unwrap(check)(subject, case)


def _made_in(check: CaseCheck, places: Callable[[Subject], list[tuple[int, str]]]) -> Callable[[Subject], None]:
    @functools.wraps(check)
    def run(subject: Subject) -> None:
        for slots, layout in places(subject):
            with said(f"N={slots}, {layout} actions" if layout else f"N={slots}"):
                try:
                    case = subject.case(slots, options=(f"environment.layout={layout}",) if layout else ())
                except IncompatiblePlan:
                    # That is how a component refuses actions of a kind it cannot deal with; the first it may not.
                    if not layout:
                        raise
                    continue
                check(subject, case)

    return run


def _layouts(subject: Subject) -> list[tuple[int, str]]:
    """Return further shapes of action table; other environments than the reference have but one."""
    if subject.environment().distribution != DISTRIBUTION:
        return []
    return [(LAYOUT_SLOTS, layout) for layout in LAYOUTS[1:]]


@contextmanager
def said(where: str) -> Iterator[None]:
    """Put before whatever goes wrong within where it did."""
    try:
        yield
    except Skip:
        raise
    except BaseException as error:
        if asks_to_stop(error):
            raise
        raise AssertionError(f"{where}: {summarise(error)}") from error
