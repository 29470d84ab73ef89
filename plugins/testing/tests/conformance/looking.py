"""Checking a component by name, and what should come of it."""

from __future__ import annotations

from esper_core.registry.index import Component, Index
from esper_testing.conformance.report import Result
from esper_testing.conformance.run import Checker, check_component, suites_of


def find(index: Index, key: str) -> Component:
    kind, _, name = key.partition("/")
    (component,) = (component for component in index.of_kind(kind) if component.name == name)
    return component


def results(index: Index, key: str) -> dict[str, Result]:
    return {row.name: row for row in check_component(find(index, key), index)}


def result(index: Index, key: str, name: str) -> Result:
    """Return what came of one check, and of those it needs."""
    return Checker.of(find(index, key), index).result(name)


def dependents(index: Index, key: str, name: str) -> set[str]:
    """Return the checks that say nothing as long as one of them fails, directly or through others."""
    checks = [check for suite in suites_of(index.kinds[find(index, key).kind]) for check in suite.checks]
    found, size = {name}, 0
    while len(found) > size:
        size = len(found)
        found |= {check.name for check in checks if found & set(check.after)}
    return found - {name}


def assert_only_fails(index: Index, key: str, name: str, *also: str) -> Result:
    """Assert that a check fails, that what depends on it is blocked, and that nothing else but `also` goes wrong."""
    rows = results(index, key)
    assert rows[name].status == "failed", rows[name]
    claimed = dependents(index, key, name) & rows.keys()
    assert {other for other in claimed if rows[other].status != "blocked"} == set()
    failed = {row.name for row in rows.values() if row.status == "failed"}
    assert failed == {name, *also}, {n: rows[n].message for n in failed}
    return rows[name]
