"""The reference components are right: what a component is checked with must not be what fails."""

from __future__ import annotations

import pytest

from esper_core.registry.index import Index
from esper_testing.conformance.run import check_component
from esper_testing.reference.plugin import REFERENCES, with_references
from plugins.testing.tests.conformance.looking import find

LEARNED = ("features", "network", "critic", "loss")


@pytest.mark.parametrize("kind", LEARNED)
def test_reference_components_pass(installed: Index, kind: str) -> None:
    component = find(with_references(installed), f"{kind}/{REFERENCES[kind].partition(':')[2]}")
    rows = {row.name: row for row in check_component(component, installed)}
    wrong = {name for name, row in rows.items() if row.status != "passed"}
    assert wrong == {"registration", "light-config"}, "they are in no entry point, and in nothing else different"
