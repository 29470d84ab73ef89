"""Where a run comes from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from attrs import evolve

from esper_core.composition.plan import Plan
from esper_core.registry import sources
from esper_core.registry.index import Index
from esper_core.runs import provenance
from esper_testing.index import index_from_specs


def test_a_plugin_made_by_hand_has_the_source_of_its_module(
    plan: Plan, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "canary_features.py"
    file.write_text("x = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    (spec,) = (c.spec for c in index.components if c.key == "features/obs-v3")
    by_hand = index_from_specs([evolve(spec, factory="canary_features:Features")], index.kinds.values())
    planned = [evolve(c, distribution="in-memory") for c in plan.components if c.kind == "features"]

    def made() -> dict[str, str]:
        sources.forget()
        return provenance.distributions(evolve(plan, components=tuple(planned)), by_hand)["in-memory"]

    before = made()
    assert before["version"] == "0" and before["source"]
    file.write_text("x = 2")
    assert made()["source"] != before["source"]
    assert "canary_features" not in sys.modules
