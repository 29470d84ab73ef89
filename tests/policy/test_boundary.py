"""What components return is checked where it comes in, and named with what was expected."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from attrs import evolve
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.features import ArrayField
from esper_core.contracts.foreign import Owner, Owners
from esper_core.contracts.protocols import Features, LSTMState, Masks, NetworkOutput, Values
from esper_core.policy.boundary import check_mask_form, take_features
from esper_core.policy.policy import Policy
from tests.learning.conftest import SCHEMA, SPEC, Net, Value

CPU = torch.device("cpu")
OWNERS = Owners({kind: Owner(f"{kind} 'acme' (acme 1.0)", f"{kind}/acme") for kind in ("network", "critic", "masks")})
OWNER = OWNERS["network"]


class Odd(NamedTuple):
    """A state of another kind."""

    memory: Tensor


def features() -> Features:
    return Features(torch.zeros(2, 3), {"kind": torch.zeros(2, 2, dtype=torch.int64)})


def masks() -> Masks:
    heads = {head.name: torch.ones(2, head.size, dtype=torch.bool) for head in SPEC.heads}
    return Masks(heads, torch.ones(2, 3, 2, dtype=torch.bool))


def act(network: Net | None = None, critic: Value | None = None) -> None:
    policy = Policy(network or Net(), critic or Value(), SPEC, owners=OWNERS)
    assert policy.get_action(features(), masks(), policy.initial_state(2)).values is not None


def logits(name: str, value: Any) -> Any:
    return lambda out: out._replace(logits={**out.logits, name: value})


def replaced(**parts: Any) -> Any:
    return lambda out: out._replace(**parts)


ZEROS = torch.zeros(1, 2, 8)
NETWORKS = {
    "wide": (
        logits("slot", torch.zeros(2, 1, 3)),
        r"logits of head 'slot' is float32 \[2, 1, 3\], not float \[2, 1, 2",
    ),
    "each": (logits("slot", torch.zeros(2, 1, 2, 2)), r"logits of head 'slot' is .*, not float \[2, 1, 3, 2\]"),
    "missing": (replaced(logits={"op": ZEROS, "slots": ZEROS}), "logits has 'op', 'slots', not 'op', 'slot', 'what'"),
    "elsewhere": (lambda out: out._replace(latent=out.latent.to("meta")), "its latent is .* on meta, not .* on cpu"),
    "list": (replaced(state=[1]), "its state is a list, not a NamedTuple of tensors"),
    "kind": (replaced(state=Odd(ZEROS)), "its state has 'memory', not 'h', 'c'"),
    "grown": (replaced(state=LSTMState(torch.zeros(2, 2, 8), ZEROS)), r"the h of its state has .* not \[1, 2, 8\]"),
}


@pytest.mark.parametrize("wrong", NETWORKS)
def test_a_network_that_returns_something_else(wrong: str) -> None:
    change, words = NETWORKS[wrong]

    class Wrong(Net):
        def forward(self, *arguments: Any) -> NetworkOutput:
            return change(super().forward(*arguments))  # type: ignore[no-any-return, no-untyped-call]

    with pytest.raises(PluginError, match=rf"network 'acme' \(acme 1.0\) breaks its contract: .*{words}") as raised:
        act(Wrong())
    assert "esper plugins check network/acme" in raised.value.hint


def test_a_network_that_raises() -> None:
    class Broken(Net):
        def forward(self, *arguments: Any) -> NetworkOutput:
            raise RuntimeError("mat1 and mat2")

    with pytest.raises(PluginError, match=r"network 'acme' \(acme 1.0\) failed while computing: RuntimeError: mat1"):
        act(Broken())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (Values(torch.zeros(2, 1, 1), torch.zeros(2, 1), None), r"its value is float32 \[2, 1, 1\], not float"),
        (torch.zeros(2, 1), "what it returns is a Tensor, not esper_core.contracts.protocols.Values"),
    ],
)
def test_a_critic_that_returns_something_else(values: Any, words: str) -> None:
    class Wrong(Value):
        def forward(self, *arguments: Any) -> Values:
            return values

    with pytest.raises(PluginError, match=rf"critic 'acme' \(acme 1.0\) breaks its contract: {words}"):
        act(critic=Wrong())


BOOL = torch.ones(2, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads": {"op": BOOL, "slot": BOOL[:, :2], "what": BOOL.byte()}}, "head 'what' is uint8 .*, not bool"),
        ({"heads": {"op": BOOL, "what": BOOL}}, "its table of masks has 'op', 'what', not 'op', 'slot', 'what'"),
        ({"slot_given_op": None}, "it has no 'slot_given_op'"),
    ],
)
def test_masks_of_another_form(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        check_mask_form(OWNERS["masks"], masks()._replace(**change), SPEC, 2, CPU)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (features()._replace(obs=torch.zeros(2, 4)), r"its obs is float32 \[2, 4\], not float \[2, 3\]"),
        (features()._replace(indices={}), "its table of indices has nothing, not 'kind'"),
        (features()._replace(indices={"kind": torch.full((2, 2), 3)}), "'kind' goes from 3 to 3, not from -1 to 2"),
        (torch.zeros(2, 3), "what it returns is a Tensor"),
    ],
)
def test_features_of_another_form(found: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        take_features(OWNER, found, SCHEMA, 2, torch.float32, CPU)


def test_arrays_are_checked_and_taken_in_the_width_of_the_weights() -> None:
    schema = evolve(SCHEMA, arrays=(ArrayField("seen", (2, 2), "uint8"), ArrayField("far", (4,), "float")))
    arrays = {"seen": torch.ones(2, 2, 2, dtype=torch.uint8), "far": torch.ones(2, 4, dtype=torch.float64)}
    taken = take_features(OWNER, features()._replace(arrays=arrays), schema, 2, torch.float32, CPU)
    assert taken.arrays["seen"] is arrays["seen"] and taken.arrays["far"].dtype == torch.float32
    for wrong, words in (
        ({}, "its table of arrays has nothing, not 'seen', 'far'"),
        ({**arrays, "seen": arrays["seen"].float()}, r"its array 'seen' is float32 \[2, 2, 2\], not uint8"),
        ({**arrays, "far": arrays["far"][:, :3]}, r"its array 'far' is float64 \[2, 3\], not float \[2, 4\]"),
    ):
        with pytest.raises(PluginError, match=words):
            take_features(OWNER, features()._replace(arrays=wrong), schema, 2, torch.float32, CPU)
    with pytest.raises(PluginError, match="its table of arrays has 'seen', 'far', not nothing"):
        take_features(OWNER, features()._replace(arrays=arrays), SCHEMA, 2, torch.float32, CPU)


def test_observations_are_taken_in_the_width_of_the_weights() -> None:
    wide = features()._replace(obs=torch.rand(2, 3, dtype=torch.float64))
    taken = take_features(OWNER, wide, SCHEMA, 2, torch.float32, CPU)
    assert torch.equal(taken.obs, wide.obs.float()) and taken.indices is wide.indices
