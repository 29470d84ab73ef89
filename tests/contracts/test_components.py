"""What a plugin may register."""

from __future__ import annotations

import pytest
from attrs.exceptions import FrozenInstanceError

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


@pytest.mark.parametrize("name", ["LSTM", "lstm_v2", "a-", "a--b", "2a", "", None])
def test_names_are_kebab_case(name: object) -> None:
    for key in ("name", "kind"):
        with pytest.raises(ValueError, match="must be kebab-case"):
            make(**{key: name})
    with pytest.raises(ValueError, match="must be kebab-case"):
        KindSpec(name=name, protocol="a:b")  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", ["my-net:Net", "a:b.c", ":b", "a..b:c", "a:1b"])
def test_references_read_module_attribute(reference: str) -> None:
    with pytest.raises(ValueError, match="factory '' must read"):
        make(factory="")
    for key in ("factory", "config", "describe"):
        with pytest.raises(ValueError, match=f"{key} .*must read 'package.module:attribute'"):
            make(**{key: reference})


@pytest.mark.parametrize("capability", ["op-logits", "network:", "Network:x", "a:b:c"])
def test_capabilities_read_kind_capability(capability: str) -> None:
    for key in ("provides", "requires"):
        with pytest.raises(ValueError, match="must read 'kind:capability'"):
            make(**{key: (capability,)})


def test_normalising_twice_changes_nothing_more() -> None:
    assert normalise_name(" LSTM_.v2 ") == normalise_name(normalise_name("lstm-v2")) == "lstm-v2"
