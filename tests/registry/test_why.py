"""Explaining names: what is explained is what resolving does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from esper_core import ComponentSpec
from esper_core.builtin import plugin as core
from esper_core.composition.recipes import Recipes, load_recipes
from esper_core.contracts.errors import AmbiguousComponent, UnknownComponent, UserError
from esper_core.diagnosis.switches import Switches
from esper_core.diagnosis.why import Explanation, explain
from esper_core.registry.discovery import Source
from esper_core.registry.index import Index
from esper_core.registry.loading import index_plugins
from esper_testing.index import hooks
from tests.registry.test_index import network


def explode() -> Any:
    raise OSError("no disk")


PLUGINS: dict[str, object] = {
    "one": hooks([network("shared", aliases=("both",)), network("alone", aliases=("Old_Name", "shared"))]),
    "two": hooks([network("shared", aliases=("both",)), network("second")]),
    "broken": hooks(explode),
    "off": hooks([network("hidden")]),
    "stray": hooks([ComponentSpec(kind="netwrk", name="shared", factory="a:b")]),
}


@pytest.fixture
def index() -> Index:
    sources = [Source("core", "esper-core", "9", "/core", lambda: core)]
    sources += [
        Source(name, f"{name}-dist", "1.0", f"/site/{name}", lambda module=module: module, name == "one")  # type: ignore[misc]
        for name, module in PLUGINS.items()
    ]
    return index_plugins(sources, disabled=["off"])


def why(index: Index, asked: str, recipes: Recipes | None = None) -> Explanation:
    recipes = recipes or Recipes()
    return explain(index, recipes, Switches(("off",), recipes, None), asked)


def outcomes(explanation: Explanation) -> list[tuple[str, str, str]]:
    return [(c.component.qualified, c.found_by, c.outcome) for c in explanation.candidates]


def test_an_alias_gives_way_to_a_name(index: Index) -> None:
    found = why(index, "network/two:shared")
    assert outcomes(found) == [
        ("one-dist:shared", "name", "not chosen: asked for from two"),
        ("two-dist:shared", "name", "chosen: it comes from two"),
        ("one-dist:alone", "alias", "not chosen: an alias gives way to a name"),
    ]
    assert found.distribution == "two"
    changes = " ".join(found.changes)
    assert "As network/shared: an error. The network 'shared' is provided by" in changes
    assert "With --no-plugin two: an error. You asked for network 'shared' from 'two', which does not" in changes


def test_an_ambiguous_name(index: Index) -> None:
    found = why(index, "network/shared")
    ((component, reason),) = found.unavailable
    assert component.key == "netwrk/shared" and "Did you mean 'network'?" in reason
    assert found.winner is None and isinstance(found.error, AmbiguousComponent)
    assert [outcome for *_, outcome in outcomes(found)][:2] == ["one of several", "one of several"]
    assert list(found.changes) == [
        "As network/one-dist:shared: network 'shared' (one-dist 1.0).",
        "As network/two-dist:shared: network 'shared' (two-dist 1.0).",
        'With "network/shared" = "one-dist" under [resolve] in registry.toml: network \'shared\' (one-dist 1.0).',
    ]


def test_a_pin(index: Index, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text('schema = 1\n\n[resolve]\n"Network/Shared" = "Two.Dist"\n')
    found = why(index, "network/shared", load_recipes(tmp_path / "registry.toml"))
    assert found.winner is not None and found.winner.qualified == "two-dist:shared"
    assert found.pinned_at is not None and found.pinned_at.endswith("registry.toml:4")
    assert outcomes(found)[0][2].startswith("not chosen: pinned to two")
    assert any("Without the pin at" in change and "an error" in change for change in found.changes)
    assert "With --no-plugin two: an error. registry.toml pins" in " ".join(found.changes)


def test_an_unknown_name_says_what_may_have_provided_it(index: Index) -> None:
    found = why(index, "network/sharde")
    assert isinstance(found.error, UnknownComponent) and "Did you mean 'shared'?" in found.error.message
    assert found.candidates == () and found.winner is None
    assert [(record.plugin, reason) for record, reason in found.absent] == [
        ("broken", "esper_components raised OSError: no disk"),
        ("off", "switched off: --no-plugin off"),
    ]


def test_a_plain_name_and_an_alias(index: Index) -> None:
    found = why(index, "Network/ALONE")
    said = (found.kind, found.name, found.distribution, found.pin, found.error)
    assert said == ("network", "alone", None, None, None)
    assert outcomes(found) == [("one-dist:alone", "name", "chosen")]
    (candidate,) = found.candidates
    assert (candidate.component, candidate.record.location) == (found.winner, "/site/one")
    assert found.changes[0].startswith("With --no-plugin one: an error. No network named 'ALONE'.")
    assert '"network/alone" is pinned' in found.changes[1]
    found = why(index, "network/old.name")
    assert outcomes(found) == [("one-dist:alone", "alias", "chosen")]
    assert found.changes[-1] == "A network that is really named 'old-name' would come before this alias."
    both = why(index, "network/both")
    assert isinstance(both.error, AmbiguousComponent) and {c.found_by for c in both.candidates} == {"alias"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("shared", "does not read KIND/NAME"),
        ("netwrok/shared", "Did you mean 'network'"),
        ("policy/shared", "A policy is not a component"),
    ],
)
def test_what_cannot_be_explained(index: Index, asked: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        why(index, asked)
