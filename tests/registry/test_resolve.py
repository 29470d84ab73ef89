"""Names, aliases, distributions, pins, and what is said when a name means nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from esper_core import ComponentSpec, KindSpec, hookimpl
from esper_core.contracts.errors import AmbiguousComponent, UnknownComponent
from esper_core.plan.lookup import find_planned
from esper_core.plan.plan import PlannedComponent
from esper_core.registry.index import Index
from esper_core.registry.loading import index_from_plugins, index_from_specs
from esper_core.registry.resolve import resolve


def plugin(*specs: ComponentSpec, kinds: Any = ()) -> SimpleNamespace:
    @hookimpl
    def esper_components() -> Any:
        return specs

    @hookimpl
    def esper_kinds() -> Any:
        return kinds

    return SimpleNamespace(esper_components=esper_components, esper_kinds=esper_kinds)


def network(name: str, *aliases: str) -> ComponentSpec:
    return ComponentSpec(kind="network", name=name, factory="a:b", aliases=aliases)


@pytest.fixture
def index() -> Index:
    kinds = [KindSpec(name="network", protocol="a:b"), KindSpec(name="critic", protocol="a:b")]

    def broken() -> Any:
        raise ImportError("no module 'triton'")

    failing = plugin()
    failing.esper_components = hookimpl(broken, specname="esper_components")
    return index_from_plugins(
        {
            "a": plugin(network("lstm-v2", "old_lstm", "gru"), network("shared"), kinds=kinds),
            "b": plugin(network("shared"), network("gru"), network("only-b", "twin")),
            "c": plugin(network("only-c", "twin")),
            "broken": failing,
        }
    )


@pytest.mark.parametrize("name", ["lstm-v2", "lstm_v2", "LSTM.v2", " lstm-v2 ", "a:lstm-v2", "A:LSTM_V2", "old-lstm"])
def test_spellings(index: Index, name: str) -> None:
    assert resolve(index, "network", name).name == "lstm-v2"


def test_a_kind_has_spellings_too(index: Index) -> None:
    assert resolve(index, "NETWORK", "lstm-v2").name == "lstm-v2"


def test_an_alias_never_beats_a_name(index: Index) -> None:
    assert resolve(index, "network", "gru").plugin == "b"


def test_two_providers_are_an_error_only_when_asked_for(index: Index) -> None:
    with pytest.raises(AmbiguousComponent) as caught:
        resolve(index, "network", "shared")
    assert "provided by a 0 and b 0" in caught.value.message
    assert "'a:shared'" in caught.value.hint and '"network/shared" = "a"' in caught.value.hint
    assert resolve(index, "network", "b:shared").distribution == "b"


def test_an_alias_of_two_components_is_ambiguous(index: Index) -> None:
    with pytest.raises(AmbiguousComponent, match="b 0 and c 0"):
        resolve(index, "network", "twin")


def test_a_pin_settles_a_bare_name_and_yields_to_a_written_distribution(index: Index) -> None:
    pins = {"network/shared": "B"}
    assert resolve(index, "network", "shared", pins).distribution == "b"
    assert resolve(index, "network", "a:shared", pins).distribution == "a"


def test_a_pin_to_a_distribution_without_the_component_is_an_error(index: Index) -> None:
    with pytest.raises(UnknownComponent, match=r"pins network 'lstm-v2' from 'zzz'") as caught:
        resolve(index, "network", "lstm-v2", {"network/lstm-v2": "zzz"})
    assert "a 0" in caught.value.hint


def test_a_distribution_that_does_not_provide_it(index: Index) -> None:
    with pytest.raises(UnknownComponent, match="You asked for network 'lstm-v2' from 'b'"):
        resolve(index, "network", "b:lstm-v2")


def test_an_unknown_name_says_what_is_near_what_is_there_and_what_failed(index: Index) -> None:
    with pytest.raises(UnknownComponent) as caught:
        resolve(index, "network", "lstm-v3")
    assert caught.value.message == "No network named 'lstm-v3'. Did you mean 'lstm-v2'?"
    assert "Installed here: gru, lstm-v2, only-b, only-c, shared." in caught.value.hint
    assert "1 plugin failed to load and may provide it: broken (broken 0: " in caught.value.hint
    assert "no module 'triton'" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_kind_without_components(index: Index) -> None:
    with pytest.raises(UnknownComponent) as caught:
        resolve(index, "critic", "x")
    assert "No critic is installed." in caught.value.hint


def test_an_unknown_kind(index: Index) -> None:
    with pytest.raises(UnknownComponent, match=r"no kind 'netwrk'\. Did you mean 'network'\?"):
        resolve(index, "netwrk", "lstm-v2")


def test_a_component_of_an_undeclared_kind_says_why_it_is_unavailable() -> None:
    index = index_from_specs([ComponentSpec(kind="gadget", name="g", factory="a:b")])
    with pytest.raises(UnknownComponent) as caught:
        resolve(index, "gadget", "g")
    assert "gadget 'g' (in-memory 0) is unavailable: no plugin that loaded declares the kind 'gadget'." in caught.value.hint


def test_a_planned_component_is_found_by_its_distribution(index: Index) -> None:
    planned = PlannedComponent(kind="network", name="shared", distribution="b", version="0")
    assert find_planned(index, planned).distribution == "b"


@pytest.mark.parametrize(
    ("name", "distribution", "said"),
    [("gone", "acme", "It is not installed."), ("shared", "acme", "It is installed from a 0, b 0 instead.")],
)
def test_a_planned_component_that_is_missing(index: Index, name: str, distribution: str, said: str) -> None:
    planned = PlannedComponent(kind="network", name=name, distribution=distribution, version="1.2")
    with pytest.raises(UnknownComponent) as caught:
        find_planned(index, planned)
    assert said in caught.value.message
    assert "'acme' 1.2: ask whoever made the run" in caught.value.hint and "pip install" not in caught.value.hint


def test_a_planned_component_of_a_distribution_that_is_known_is_brought_back_with_one_line(index: Index) -> None:
    planned = PlannedComponent(kind="network", name="gone", distribution="esper-core", version="1.2")
    with pytest.raises(UnknownComponent) as caught:
        find_planned(index, planned)
    assert 'pip install "esper-core==1.2"' in caught.value.hint
