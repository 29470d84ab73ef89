"""The foreign network keeps the contract of its kind for action tables and observations it has never seen."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from esper_core import ActionSpec, Feature, FeatureSchema, Head, IndexField, SlotConfig, StateField, StateSpec
from esper_core.contracts.protocols import Build, Features, PolicyNetwork

FLAT = ActionSpec((Head("left", ("a", "b", "c")), Head("right", ("x", "y"))))
SLOTTED = ActionSpec((Head("op", ("WAIT", "GROW")), Head("slot", ("r0c0", "r0c1"))), root="op", slot="slot")
FEATURE = Feature("f", "f", 0.0, 1.0, "f")
PLAIN = FeatureSchema((FEATURE,))
INDEXED = FeatureSchema((FEATURE, Feature("g", "g", 0.0, 1.0, "f")), indices=(IndexField("colour", 3, 4),))


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "acme-net"))

    def build(actions: ActionSpec, schema: FeatureSchema) -> Any:
        context = Build(
            slots=SlotConfig.for_grid(1, 2),
            actions=actions,
            state_spec=StateSpec((StateField("f", ("E",), "float", "1", "a number"),)),
            feature_schema=schema,
            latent_dim=0,
            gamma=0.99,
            num_envs=4,
            seed=0,
            device="cpu",
            dtype=torch.float32,
        )
        torch.manual_seed(0)
        config = import_module("acme_net.config").AcmeConfig(hidden_dim=8)
        return import_module("acme_net.network").AcmeGru(config, context)

    return build


def seen(schema: FeatureSchema, steps: int) -> Features:
    generator = torch.Generator().manual_seed(1)
    indices = {
        b.name: torch.randint(-1, b.vocabulary, (4, steps, b.width), generator=generator) for b in schema.indices
    }
    return Features(torch.rand(4, steps, schema.dim, generator=generator), indices)


def part(features: Features, steps: slice) -> Features:
    return Features(features.obs[:, steps], {name: value[:, steps] for name, value in features.indices.items()})


@pytest.mark.parametrize("actions", [FLAT, SLOTTED])
@pytest.mark.parametrize("schema", [PLAIN, INDEXED])
def test_shapes_follow_from_actions_and_schema(make: Any, actions: ActionSpec, schema: FeatureSchema) -> None:
    network = make(actions, schema)
    assert isinstance(network, PolicyNetwork)
    output = network(seen(schema, 5), network.initial_state(4), torch.zeros(4, 5, dtype=torch.bool))
    assert output.latent.shape == (4, 5, network.latent_dim)
    assert {name: logits.shape for name, logits in output.logits.items()} == {
        name: (4, 5, size) for name, size in actions.sizes.items()
    }
    assert type(output.state) is type(network.initial_state(4))
    assert output.state.hidden.shape == (1, 4, network.latent_dim)


def test_a_sequence_with_a_reset_is_two_sequences(make: Any) -> None:
    network, features = make(SLOTTED, INDEXED), seen(INDEXED, 6)
    start = torch.zeros(4, 6, dtype=torch.bool)
    start[:, 4] = True
    whole = network(features, network.initial_state(4), start)
    none = torch.zeros(4, 4, dtype=torch.bool)
    first = network(part(features, slice(0, 4)), network.initial_state(4), none)
    second = network(part(features, slice(4, 6)), network.initial_state(4), none[:, :2])
    assert torch.allclose(whole.latent, torch.cat([first.latent, second.latent], dim=1), atol=1e-6)
    assert torch.allclose(whole.state.hidden, second.state.hidden, atol=1e-6)
    unbroken = network(features, network.initial_state(4), torch.zeros_like(start))
    assert not torch.allclose(whole.latent[:, 4:], unbroken.latent[:, 4:], atol=1e-3)


def test_stepping_is_running(make: Any) -> None:
    network, features = make(FLAT, PLAIN), seen(PLAIN, 3)
    never = torch.zeros(4, 3, dtype=torch.bool)
    state, latents = network.initial_state(4), []
    for t in range(3):
        output = network(part(features, slice(t, t + 1)), state, never[:, :1])
        state = output.state
        latents.append(output.latent)
    assert torch.allclose(
        torch.cat(latents, dim=1), network(features, network.initial_state(4), never).latent, atol=1e-6
    )


def test_every_parameter_learns(make: Any) -> None:
    network = make(SLOTTED, INDEXED)
    output = network(seen(INDEXED, 3), network.initial_state(4), torch.zeros(4, 3, dtype=torch.bool))
    sum(logits.square().sum() for logits in output.logits.values()).backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())
