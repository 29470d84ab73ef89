"""Running checks on components."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence

from esper_core.contracts.errors import UserError
from esper_core.registry.index import Component, Index
from esper_core.registry.references import load_reference
from esper_core.testing.conformance.common import COMMON
from esper_core.testing.conformance.report import Conformance, Result
from esper_core.testing.conformance.subject import Subject
from esper_core.testing.conformance.suite import Check, Skip, Suite
from esper_core.testing.location import locate, summarise


def suites_of(component: Component, index: Index) -> tuple[Suite, ...]:
    """Return the suites a component is checked with: the one of all kinds and that of its kind.

    Raises:
        FactoryError: the suite of its kind cannot be imported.
        UserError: nobody declared checks for its kind.
    """
    kind = index.kinds[component.kind]
    if not kind.conformance:
        raise UserError(
            f"The kind '{kind.name}' has no conformance suite, so {component} cannot be checked.",
            hint="Whoever declares the kind sets `conformance` in its KindSpec.",
        )
    return COMMON, load_reference(kind.conformance, f"the kind '{kind.name}'")


def check_component(
    component: Component, index: Index, on_result: Callable[[Result], None] | None = None
) -> tuple[Result, ...]:
    """Run every declared check on a component; nothing it does raises, except that the user asks to stop.

    Raises:
        FactoryError, UserError: its kind's suite cannot be found.
    """
    subject = Subject(component, index)
    results: list[Result] = []
    for row in _rows(subject, suites_of(component, index)):
        results.append(row)
        if on_result is not None:
            on_result(row)
    return tuple(results)


def check_components(
    subject: str,
    components: Sequence[Component],
    index: Index,
    on_result: Callable[[Result], None] | None = None,
) -> Conformance:
    """Run every declared check on several components, and return what came of it; see `check_component`."""
    started = time.monotonic()
    checks = [row for component in components for row in check_component(component, index, on_result)]
    return Conformance(subject=subject, checks=checks, seconds=time.monotonic() - started)


def _rows(subject: Subject, suites: Sequence[Suite]) -> Iterator[Result]:
    passed: set[str] = set()
    known: dict[str, str] = dict(subject.spec.known_failures)
    for suite in suites:
        for name in suite.declared:
            check = suite.find(name)
            if check is not None and check.claim is not None and not subject.claims(check.claim):
                continue
            row = _row(subject, name, check, passed, known.pop(name, None))
            if row.status in ("passed", "skipped"):
                passed.add(name)
            yield row
    for name, reason in known.items():
        message = f"its spec expects the check '{name}' to fail ({reason}), but there is no such check"
        yield Result(component=subject.component.key, name=name, status="failed", message=message)


def _row(subject: Subject, name: str, check: Check | None, passed: set[str], expected: str | None) -> Result:
    key = subject.component.key
    if check is None:
        return Result(component=key, name=name, status="missing", message="declared, but there is no such check")
    waiting = [before for before in check.after if before not in passed]
    if waiting:
        return Result(component=key, name=name, status="blocked", message=f"it needs {', '.join(waiting)}")
    try:
        # stdout belongs to the command, which may have to write exactly one JSON document to it.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check.run(subject)
    except Skip as reason:
        return Result(component=key, name=name, status="skipped", message=str(reason))
    except (Exception, SystemExit) as error:
        file, line = locate(error)
        if expected is not None:
            return Result(component=key, name=name, status="expected", message=expected, file=file, line=line)
        return Result(component=key, name=name, status="failed", message=summarise(error), file=file, line=line)
    if expected is not None:
        message = f"its spec expects this to fail ({expected}), but it passes"
        return Result(component=key, name=name, status="failed", message=message)
    return Result(component=key, name=name, status="passed")
