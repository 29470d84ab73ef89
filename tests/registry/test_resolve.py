"""Names, aliases, distributions, pins, and what is said when a name means nothing."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from esper_core import ComponentSpec, KindSpec
from esper_core.composition.lookup import PlannedComponent, find_planned
from esper_core.contracts.errors import AmbiguousComponent, UnknownComponent
from esper_core.registry.index import Index
from esper_core.registry.resolve import resolve
from esper_testing.index import hooks, index_from_plugins


def network(name: str, *aliases: str) -> ComponentSpec:
    return ComponentSpec(kind="network", name=name, factory="a:b", aliases=aliases)


@pytest.fixture
def index() -> Index:
    kinds = [KindSpec(name="network", protocol="a:b"), KindSpec(name="critic", protocol="a:b")]

    def broken() -> Any:
        raise ImportError("no module 'triton'")

    return index_from_plugins(
        {
            "a": hooks([network("lstm-v2", "old_lstm", "gru"), network("shared")], kinds),
            "b": hooks([network("shared"), network("gru"), network("only-b", "twin")]),
            "c": hooks([network("only-c", "twin")]),
            "broken": hooks(broken),
        }
    )


def test_spellings(index: Index) -> None:
    for name in ("lstm_v2", "LSTM.v2", " lstm-v2 ", "A:LSTM_V2", "old-lstm"):
        assert resolve(index, "NETWORK", name).name == "lstm-v2"


def test_two_providers_are_an_error_only_when_asked_for(index: Index) -> None:
    with pytest.raises(AmbiguousComponent) as caught:
        resolve(index, "network", "shared")
    assert "provided by a 0 and b 0" in caught.value.message
    assert "'a:shared'" in caught.value.hint and '"network/shared" = "a"' in caught.value.hint
    assert resolve(index, "network", "b:shared").distribution == "b"


def test_a_pin_settles_a_bare_name_and_yields_to_a_written_distribution(index: Index) -> None:
    assert resolve(index, "network", "gru").plugin == "b", "an alias never beats a name"
    pins = {"network/shared": "B"}
    assert resolve(index, "network", "shared", pins).distribution == "b"
    assert resolve(index, "network", "a:shared", pins).distribution == "a"


def test_an_unknown_name_says_what_is_near_what_is_there_and_what_failed(index: Index) -> None:
    with pytest.raises(UnknownComponent) as caught:
        resolve(index, "network", "lstm-v3")
    assert caught.value.message == "No network named 'lstm-v3'. Did you mean 'lstm-v2'?"
    assert "Installed here: gru, lstm-v2, only-b, only-c, shared." in caught.value.hint
    assert "1 plugin failed to load and may provide it: broken (broken 0: " in caught.value.hint
    assert "no module 'triton'" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("kind", "name", "message", "hint"),
    [
        ("network", "lstm-v2", "registry.toml pins network 'lstm-v2' from 'zzz'", "It is provided by a 0."),
        ("critic", "x", "No critic named 'x'.", "No critic is installed."),
        ("netwrk", "lstm-v2", "There is no kind 'netwrk'. Did you mean 'network'?", "Kinds here: critic, network."),
    ],
)
def test_what_means_nothing(index: Index, kind: str, name: str, message: str, hint: str) -> None:
    with pytest.raises(UnknownComponent) as caught:
        resolve(index, kind, name, {"network/lstm-v2": "zzz"})
    assert message in caught.value.message and hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "distribution", "said", "hint"),
    [
        ("gone", "acme", "It is not installed.", "'acme' 1.2: ask whoever made the run"),
        ("gone", "esper-core", "It is not installed.", 'pip install "esper-core==1.2"'),
    ],
)
def test_a_planned_component(index: Index, name: str, distribution: str, said: str, hint: str) -> None:
    planned = PlannedComponent(kind="network", name=name, distribution=distribution, version="1.2")
    with pytest.raises(UnknownComponent) as caught:
        find_planned(index, planned)
    assert said in caught.value.message and hint in caught.value.hint
    assert ("pip install" in caught.value.hint) == (distribution == "esper-core")
    assert find_planned(index, evolve(planned, name="shared", distribution="b")).distribution == "b"
