"""What components return is checked where it comes in, and named with what was expected."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from esper_core.contracts.errors import PluginError
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
    policy.get_action(features(), masks(), policy.initial_state(2))


def other(logits: dict[str, Tensor], name: str, value: Any) -> dict[str, Any]:
    return {**logits, name: value}


NETWORKS = {
    "wide": (
        lambda out: out._replace(logits=other(out.logits, "slot", torch.zeros(2, 1, 3))),
        r"its logits of head 'slot' is float32 \[2, 1, 3\], not float \[2, 1, 2\]",
    ),
    "whole": (
        lambda out: out._replace(logits=other(out.logits, "what", torch.zeros(2, 1, 3, dtype=torch.int64))),
        r"head 'what' is int64 \[2, 1, 3\], not float",
    ),
    "missing": (
        lambda out: out._replace(logits={"op": out.logits["op"], "slots": out.logits["slot"]}),
        "its table of logits has 'op', 'slots', not 'op', 'slot', 'what'",
    ),
    "latent": (
        lambda out: out._replace(latent=torch.zeros(2, 8)),
        r"its latent is float32 \[2, 8\], not float \[2, 1,",
    ),
    "elsewhere": (lambda out: out._replace(latent=out.latent.to("meta")), "its latent is .* on meta, not .* on cpu"),
    "tuple": (lambda out: tuple(out), "what it returns is a tuple, not esper_core.contracts.protocols.NetworkOutput"),
    "list": (lambda out: out._replace(state=[1]), "its state is a list, not a NamedTuple of tensors"),
    "kind": (lambda out: out._replace(state=Odd(out.state.h)), "its state has 'memory', not 'h', 'c'"),
    "batch": (
        lambda out: out._replace(state=LSTMState(torch.zeros(1, 3, 8), torch.zeros(1, 3, 8))),
        r"the h of its state has shape \[1, 3, 8\], not \[1, 2, 8\]",
    ),
    "grown": (
        lambda out: out._replace(state=LSTMState(torch.zeros(2, 2, 8), torch.zeros(1, 2, 8))),
        r"the h of its state has shape \[2, 2, 8\], not \[1, 2, 8\]",
    ),
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


@pytest.mark.parametrize(
    ("error", "words"),
    [(RuntimeError("mat1 and mat2"), "RuntimeError: mat1 and mat2"), (SystemExit(0), "SystemExit: 0")],
)
def test_a_network_that_raises(error: BaseException, words: str) -> None:
    class Broken(Net):
        def forward(self, *arguments: Any) -> NetworkOutput:
            raise error

    with pytest.raises(PluginError, match=rf"network 'acme' \(acme 1.0\) failed while computing: {words}"):
        act(Broken())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            Values(torch.zeros(2, 1, 1), torch.zeros(2, 1), None),
            r"its value is float32 \[2, 1, 1\], not float \[2, 1\]",
        ),
        (Values(torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(2, 1, 4)), r"its by_op is .* not float \[2, 1, 3\]"),
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
        ({"heads": {"op": BOOL.float(), "slot": BOOL[:, :2], "what": BOOL}}, "head 'op' is float32 .*, not bool"),
        ({"heads": {"op": BOOL, "slot": BOOL, "what": BOOL}}, r"head 'slot' is bool \[2, 3\], not bool \[2, 2\]"),
        ({"heads": {"op": BOOL, "what": BOOL}}, "its table of masks has 'op', 'what', not 'op', 'slot', 'what'"),
        ({"slot_given_op": None}, "it has no 'slot_given_op'"),
        (
            {"slot_given_op": torch.ones(2, 2, 3, dtype=torch.bool)},
            r"slot_given_op is bool \[2, 2, 3\], not .*\[2, 3, 2\]",
        ),
    ],
)
def test_masks_of_another_form(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        check_mask_form(OWNERS["masks"], masks()._replace(**change), SPEC, 2, CPU)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (features()._replace(obs=torch.zeros(2, 4)), r"its obs is float32 \[2, 4\], not float \[2, 3\]"),
        (features()._replace(obs=torch.zeros(2, 3).long()), "its obs is int64 .*, not float"),
        (features()._replace(indices={}), "its table of indices has nothing, not 'kind'"),
        (
            features()._replace(indices={"kind": torch.full((2, 2), 3)}),
            "indices 'kind' goes from 3 to 3, not from -1 to 2",
        ),
        (torch.zeros(2, 3), "what it returns is a Tensor"),
    ],
)
def test_features_of_another_form(found: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        take_features(OWNER, found, SCHEMA, 2, torch.float32, CPU)


def test_observations_are_taken_in_the_width_of_the_weights() -> None:
    wide = features()._replace(obs=torch.rand(2, 3, dtype=torch.float64))
    taken = take_features(OWNER, wide, SCHEMA, 2, torch.float32, CPU)
    assert torch.equal(taken.obs, wide.obs.float()) and taken.indices is wide.indices
