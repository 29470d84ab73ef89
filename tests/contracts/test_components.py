"""What a plugin may register."""

from __future__ import annotations

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from esper_core import ComponentSpec, KindSpec
from esper_core.contracts.components import normalise_name


def make(**changes: object) -> ComponentSpec:
    return ComponentSpec(**({"kind": "network", "name": "my-net", "factory": "my_net.network:MyNet"} | changes))


def test_a_minimal_spec() -> None:
    spec = make()
    assert (spec.config, spec.describe, spec.defaults, spec.aliases, spec.weights_version) == ("", "", {}, (), 1)
    with pytest.raises(FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc]
    assert make(aliases=["a"], provides=["network:op-logits"]).provides == ("network:op-logits",), "hashable"


@pytest.mark.parametrize("name", ["lstm-v2", "a", "x1", "obs-v3-wide"])
def test_names_are_kebab_case(name: str) -> None:
    assert make(name=name).name == KindSpec(name=name, protocol="a:b").name == name


@pytest.mark.parametrize("name", ["LSTM", "lstm_v2", "-a", "a-", "a--b", "2a", "", "a b", "a/b", None])
def test_other_names_are_refused(name: object) -> None:
    with pytest.raises(ValueError, match="must be kebab-case"):
        make(name=name)
    with pytest.raises(ValueError, match="must be kebab-case"):
        make(kind=name)
    with pytest.raises(ValueError, match="must be kebab-case"):
        KindSpec(name=name, protocol="a:b")  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", ["my_net", "my-net:Net", "a:b.c", "a:b:c", ":b", "a:", "a..b:c", "a:1b"])
def test_references_read_module_attribute(reference: str) -> None:
    for key in ("factory", "config", "describe"):
        with pytest.raises(ValueError, match=f"{key} .*must read 'package.module:attribute'"):
            make(**{key: reference})


def test_factory_and_protocol_are_required() -> None:
    with pytest.raises(ValueError, match="factory must be given"):
        make(factory="")
    with pytest.raises(ValueError, match="protocol must be given"):
        KindSpec(name="probe", protocol="")


@pytest.mark.parametrize("capability", ["op-logits", "network:", "Network:x", "a:b:c"])
def test_capabilities_read_kind_capability(capability: str) -> None:
    with pytest.raises(ValueError, match="must read 'kind:capability'"):
        make(provides=(capability,))
    with pytest.raises(ValueError, match="must read 'kind:capability'"):
        make(requires=(capability,))


@pytest.mark.parametrize("text", ["LSTM_V2", "lstm.v2", " lstm-v2 ", "Lstm__v2"])
def test_spellings_of_one_name(text: str) -> None:
    assert normalise_name(text) == "lstm-v2"


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise_name(text)
    assert normalise_name(once) == once
