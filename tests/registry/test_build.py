"""Building: in which order, from which seed, and how a broken component is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve

from esper_core.composition import allocation
from esper_core.composition.build import build_environment, build_parts, resolve_device
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.contracts.errors import ConfigError, PluginError
from esper_core.registry.index import Index
from esper_testing.fake_device import FakeDevice


def plan(index: Index, **said: Any) -> Plan:
    uses = {"environment": "toy", **said.pop("uses", {})}
    return make_plan(PlanRequest(policy=said.pop("policy", "small-net"), uses=uses, device="cpu", **said), index)


def test_everything_is_built_with_what_was_built_before(index: Index) -> None:
    made = plan(index, slots="2", envs=3, seed=5, options=["network.size=7", "train.gamma=0.9"])
    parts = build_parts(made, index)
    assert set(parts) == {"trinket", "gadget", "features", "network", "critic", "masks", "loss", "environment"}
    order = ["trinket", "gadget", "features", "network", "critic", "masks", "loss", "environment"]
    for kind in ("features", "network", "critic", "environment"):
        assert list(parts[kind].context.parts) == order[: order.index(kind)]
    assert parts["environment"].context.parts["network"] is parts["network"]
    assert parts["features"].context.feature_schema is None
    assert parts["network"].context.feature_schema == parts["features"].schema
    context = parts["critic"].context
    assert (context.latent_dim, context.gamma, context.num_envs, context.seed) == (7, 0.9, 3, 5)
    assert (context.device, context.dtype, context.slots.num_slots) == ("cpu", torch.float32, 2)
    assert context.actions.sizes == {"op": 2, "slot": 2}
    assert parts["critic"].config.whole == 8


def test_opponents_are_built_last_and_only_to_train(index: Index) -> None:
    uses = {"environment": "duel", "masks": "open"}
    made = plan(index, uses=uses, wanted=("opponents",))
    parts = build_parts(made, index)
    assert parts["opponents"].context.parts["environment"] is parts["environment"]
    assert "opponents" not in build_environment(made, index).parts


def test_what_the_environment_draws_on_is_keyed_by_its_own_names(index: Index) -> None:
    made = plan(index, options=["environment.gadgets=['little', 'Small_one', 'toy:big_one']", "gadget.big-one.size=9"])
    gadgets = build_parts(made, index, only=["gadget"])["gadget"]
    assert list(gadgets) == ["little", "Small_one", "toy:big_one"]
    assert gadgets["little"] is gadgets["Small_one"]
    assert gadgets["toy:big_one"].config.size == 9
    assert "gadget" not in build_parts(plan(index, options=["environment.gadgets=[]"]), index)


def weights(parts: dict[str, Any]) -> list[torch.Tensor]:
    return [p.detach().clone() for kind in ("network", "critic") for p in parts[kind].parameters()]


def test_the_seed_decides_the_weights_and_nothing_else_does(index: Index) -> None:
    learned = ("network", "critic")
    first = weights(build_parts(plan(index, seed=1), index, only=learned))
    torch.rand(3)
    again = weights(build_parts(plan(index, seed=1), index))
    # A part that draws random numbers while it is built must not shift the weights either.
    noisy = weights(build_parts(plan(index, seed=1, options=["environment.gadgets=['big-one']"]), index))
    other = weights(build_parts(plan(index, seed=2), index, only=learned))
    for a, b, c in zip(first, again, noisy, strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    parts = build_parts(plan(index, options=["network.size=12"]), index)
    assert torch.equal(torch.rand(4), expected), "building leaves the random state alone"
    network, critic = parts["network"].layer.weight.flatten(), parts["critic"].layer.weight.flatten()
    assert not torch.allclose(network[: critic.numel()].sign(), critic.sign()), "they share no random numbers"


def test_a_device_that_cannot_be_used(index: Index) -> None:
    with FakeDevice() as device, pytest.raises(ConfigError, match="'meta' cannot compute in bf16") as caught:
        build_parts(evolve(plan(index, precision="bf16"), device=device.name), index)
    assert caught.value.hint == "Use --precision float32."
    with pytest.raises(ConfigError, match="'cuda:99' cannot be used") as caught:
        resolve_device("cuda:99")
    assert caught.value.hint.startswith("Use --device cpu") and "\n" not in caught.value.message
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_size_of_what_is_built_is_compared_with_what_is_left(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "memory_left", lambda device: 2**20)
    made = plan(index, options=["network.size=1000000"])
    with pytest.raises(ConfigError, match=r"network 'small-net' .* does not fit: .* where 1 MiB are left") as caught:
        build_parts(made, index, only=["network"])
    assert "size = 1000000" in caught.value.hint
    monkeypatch.setattr(allocation, "memory_left", lambda device: None)
    assert build_parts(made, index, only=["network"])["network"].latent_dim == 1000000


def test_only_some_kinds(index: Index) -> None:
    made = plan(index, options=["environment.fail=build"], precision="bf16")
    assert set(build_parts(made, index, only=("network", "critic", "features"))) == {"features", "network", "critic"}
    alone = build_parts(made, index, only=["critic"], dtype=torch.float64)
    context = alone["critic"].context
    assert (set(alone), alone["critic"].layer.weight.dtype) == ({"critic"}, torch.float64)
    assert (context.latent_dim, context.dtype, context.precision) == (3, torch.float64, "bf16")
    with pytest.raises(ConfigError, match="The plan has no rule"):
        build_parts(made, index, only=["rule"])
    context = build_environment(plan(index, envs=3), index)
    assert set(context.parts) == set(context.origins) == {"trinket", "gadget", "features", "masks", "environment"}
    assert (context.num_envs, context.feature_schema) == (3, context.parts["features"].schema)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"options": ["environment.fail=build"]}, "environment 'toy' (toy-world 1.0) failed while being built: Runti"),
        ({"options": ["environment.fail=promise"]}, "its horizon differs from what the plan describes"),
        ({"uses": {"features": "liar"}}, "features 'liar' (toy-world 1.0) breaks its contract: its schema differs"),
        ({"policy": "incomplete"}, "does not fulfil PolicyNetwork: it lacks input_dim, initial_state, __call__"),
        ({"uses": {"critic": "leaving"}}, "critic 'leaving' (toy-world 1.0) failed while being built: SystemExit: 3"),
    ],
)
def test_a_component_that_cannot_be_built_is_named(index: Index, said: dict[str, Any], message: str) -> None:
    made = plan(index, **said)
    with pytest.raises(PluginError) as caught:
        build_parts(made, index)
    assert message in caught.value.message and caught.value.hint
