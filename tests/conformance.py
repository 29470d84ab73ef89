"""Fixture of every test suite here: everything that is checked of a component's kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def conforms() -> Callable[[str], None]:
    """Return a function that makes every conformance check of `KIND/NAME`."""
    from esper_core.registry.loading import load_index
    from esper_testing.conformance.run import check_component

    index = load_index()

    def check(key: str) -> None:
        (component,) = [component for component in index.components if component.key == key]
        results = check_component(component, index)
        assert {result.name: result.message for result in results if result.status != "passed"} == {}

    return check
