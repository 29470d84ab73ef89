"""What a run calls what it reports: declared by components, recorded, and read back without them."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from esper_core.composition.plan import Plan, describe_plan
from esper_core.contracts.errors import PluginError
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_core.runs.words import Words, by_place


def test_what_components_declare_is_recorded_and_read_back(plan: Plan, index: Index, tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, plan, index)
    words = RunDirectory.open(run.path).words
    assert [(h.name, h.label, h.short) for h in words.everywhere] == [
        ("committed_accuracy", "grown hosts", "grown"),
        ("static_accuracy", "static host", "static"),
        ("gain", "gain", "gain"),
        ("return", "return", "return"),
    ]
    assert words.everywhere[-1].meaning == "gain minus rent and the price of operations and FLOPs", (
        "not what the core says of it"
    )
    names = ["return", "gain", "committed_accuracy", "static_accuracy"]
    names += ["fossils", "entropy/op", "kl", "explained_variance"]
    assert [h.name for h in by_place(words.headlines)] == names
    assert words.slots is not None and words.slots.content == "blueprint"


def test_metrics_that_are_none_break_the_contract(plan: Plan, index: Index) -> None:
    known = describe_plan(plan, index)

    def broken(component):
        wrong = evolve(component.spec, metrics="esper_growth.describe:OUTCOMES")
        return evolve(component, spec=wrong) if component.key == "environment/growth" else component

    changed = evolve(index, components=tuple(map(broken, index.components)))
    with pytest.raises(PluginError, match="is not a list of Metric"):
        Words.of(plan, changed, known)
