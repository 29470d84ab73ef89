"""What the networks compute: resets, recurrence, initialisation, and that every input counts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from esper_core import ActionSpec, Feature, FeatureSchema, Head, IndexField, SlotConfig, StateSpec
from esper_core.contracts.precision import autocast
from esper_core.contracts.protocols import BuildContext, Features, LSTMState, NetworkOutput
from esper_lstm_v2.config import LstmV1Config, LstmV2Config
from esper_lstm_v2.network import LstmNetwork

HEADS = (
    Head("op", ("WAIT", "GROW", "CUT")),
    Head("slot", ("a", "b"), ops=("GROW", "CUT")),
    Head("blueprint", ("x", "y", "z", "w"), ops=("GROW",)),
)
ACTIONS = ActionSpec(HEADS, root="op", slot="slot")
SMALL = LstmV2Config(hidden_dim=16)


def columns(count: int, prefix: str) -> tuple[Feature, ...]:
    return tuple(Feature(f"{prefix}{i}", "", -1, 1, "") for i in range(count))


SCHEMA = FeatureSchema(columns(3, "b"), columns(2, "s"), num_slots=2, indices=(IndexField("blueprint", 2, 4),))


def context(actions: ActionSpec = ACTIONS, schema: FeatureSchema = SCHEMA) -> BuildContext:
    return BuildContext(
        slots=SlotConfig.for_grid(1, 2),
        actions=actions,
        state_spec=StateSpec(()),
        feature_schema=schema,
        latent_dim=0,
        gamma=0.99,
        num_envs=3,
        seed=0,
        device="cpu",
        dtype=torch.float64,
    )


def build(
    config: LstmV2Config | LstmV1Config = SMALL, actions: ActionSpec = ACTIONS, schema: FeatureSchema = SCHEMA
) -> LstmNetwork:
    torch.manual_seed(0)
    return LstmNetwork(config, context(actions, schema)).double()


def inputs(envs: int = 3, steps: int = 7, schema: FeatureSchema = SCHEMA) -> Features:
    generator = torch.Generator().manual_seed(1)
    indices = {
        b.name: torch.randint(-1, b.vocabulary, (envs, steps, b.width), generator=generator) for b in schema.indices
    }
    return Features(torch.randn(envs, steps, schema.dim, generator=generator, dtype=torch.float64), indices)


def starts(envs: int = 3, steps: int = 7) -> Tensor:
    flags = torch.zeros(envs, steps, dtype=torch.bool)
    flags[:, 0] = True
    return flags


def cut(features: Features, rows: slice, times: slice) -> Features:
    return Features(features.obs[rows, times], {n: v[rows, times] for n, v in features.indices.items()})


def run(network: LstmNetwork, features: Features, start: Tensor | None = None) -> NetworkOutput:
    envs, steps = features.obs.shape[:2]
    return network(features, network.initial_state(envs), starts(envs, steps) if start is None else start)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-9)


def test_shapes_follow_from_the_schema_and_the_action_table() -> None:
    network = build()
    output = run(network, inputs())
    assert network.input_dim == 3 + 2 * 2 + 2 * 4
    assert output.latent.shape == (3, 7, network.latent_dim) and network.latent_dim == 16
    assert {name: tuple(v.shape) for name, v in output.logits.items()} == {h.name: (3, 7, h.size) for h in HEADS}
    assert list(output.logits) == list(ACTIONS.names)


def test_it_fits_actions_without_operations_and_features_without_indices_or_slots() -> None:
    actions = ActionSpec((Head("left", ("no", "yes")), Head("right", tuple("abcdefg"))))
    schema = FeatureSchema(columns(5, "b"))
    network = build(actions=actions, schema=schema)
    output = run(network, inputs(schema=schema))
    assert network.input_dim == 5
    assert {name: v.shape[-1] for name, v in output.logits.items()} == {"left": 2, "right": 7}


def test_heads_and_indices_may_have_any_name() -> None:
    names = ("type", "values", "train", "norm", "lstm", "state_dict")
    actions = ActionSpec(tuple(Head(name, ("a", "b")) for name in names))
    schema = FeatureSchema(columns(2, "b"), indices=tuple(IndexField(name, 1, 3) for name in names))
    assert tuple(run(build(actions=actions, schema=schema), inputs(schema=schema)).logits) == names


@pytest.mark.parametrize("layers", [1, 2])
def test_step_by_step_equals_the_whole_sequence(layers: int) -> None:
    network = build(LstmV2Config(hidden_dim=16, lstm_layers=layers))
    features = inputs()
    whole = run(network, features)
    state, latents = network.initial_state(3), []
    assert state.h.shape == (layers, 3, 16)
    for t in range(7):
        output = network(cut(features, slice(None), slice(t, t + 1)), state, starts(3, 1) if t == 0 else ~starts(3, 1))
        state = output.state
        latents.append(output.latent)
    close(torch.cat(latents, 1), whole.latent)
    close(state.h, whole.state.h)
    close(state.c, whole.state.c)


def test_one_sequence_with_a_reset_equals_two_sequences() -> None:
    network, features, start = build(), inputs(), starts()
    start[1, 4] = True
    whole = run(network, features, start)
    for rows, times in ((slice(1, 2), slice(0, 4)), (slice(1, 2), slice(4, 7)), (slice(0, 1), slice(0, 7))):
        part = run(network, cut(features, rows, times))
        close(whole.latent[rows, times], part.latent)
        close(whole.logits["blueprint"][rows, times], part.logits["blueprint"])


def test_a_start_forgets_the_state_it_is_given() -> None:
    network, features = build(), inputs(steps=1)
    dirty = LSTMState(*(torch.ones(1, 3, 16, dtype=torch.float64) for _ in range(2)))
    clean = run(network, features).latent
    close(network(features, dirty, starts(3, 1)).latent, clean)
    assert not torch.allclose(network(features, dirty, ~starts(3, 1)).latent, clean)


def test_gradients_reach_the_first_step_but_never_cross_a_reset() -> None:
    network, features, start = build(), inputs(), starts()
    start[1, 4] = True
    obs = features.obs.requires_grad_()
    latent = run(network, Features(obs, features.indices), start).latent
    (gradient,) = torch.autograd.grad(latent[:, -1].square().sum(), obs)
    assert bool((gradient[[0, 2], 0].abs().sum(-1) > 0).all())
    assert bool((gradient[1, :4] == 0).all()) and bool((gradient[1, 4:].abs().sum(-1) > 0).all())


def test_every_column_of_the_observation_and_every_index_moves_every_head() -> None:
    network, features = build(), inputs(envs=1, steps=1)
    for layer in (network.get_submodule(f"{name}_head")[-1] for name in ACTIONS.names):
        torch.nn.init.normal_(layer.weight)
    for block in network.modules():
        if isinstance(block, torch.nn.Embedding):
            torch.nn.init.normal_(block.weight)
    before = run(network, features).logits
    for column in range(SCHEMA.dim):
        obs = features.obs.clone()
        obs[..., column] += 1
        after = run(network, Features(obs, features.indices)).logits
        assert not any(torch.allclose(before[name], after[name]) for name in ACTIONS.names), column
    for position in range(2):
        outcomes = []
        for label in (-1, 0, 1, 2, 3):
            index = features.indices["blueprint"].clone()
            index[..., position] = label
            outcomes.append(run(network, Features(features.obs, {"blueprint": index})).logits["op"])
        assert len({tuple(o.flatten().tolist()) for o in outcomes}) == 5


def test_an_index_outside_the_vocabulary_is_an_error() -> None:
    features = inputs()
    with pytest.raises(IndexError):
        run(build(), Features(features.obs, {"blueprint": torch.full_like(features.indices["blueprint"], 5)}))


@pytest.mark.parametrize("layers", [1, 2])
def test_every_parameter_gets_a_gradient_from_the_heads(layers: int) -> None:
    network = build(LstmV2Config(hidden_dim=16, lstm_layers=layers))
    output = run(network, inputs(envs=8))
    torch.stack([v.log_softmax(-1)[..., 0].square().sum() for v in output.logits.values()]).sum().backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    assert dead == []


def test_initial_policies_are_nearly_uniform() -> None:
    network = build(LstmV2Config(hidden_dim=64))
    for head in HEADS:
        probabilities = run(network, inputs()).logits[head.name].detach().softmax(-1)
        assert float((probabilities * head.size - 1).abs().max()) < 0.05
        assert float(network.get_submodule(f"{head.name}_head")[-1].weight.detach().norm()) > 0


def test_initial_weights() -> None:
    network, loose = build(LstmV2Config(hidden_dim=64)), {"atol": 1e-5, "rtol": 0.0}  # made in float32
    lstm, hidden = network.lstm, 64
    for block in lstm.weight_hh_l0.detach().split(hidden):
        torch.testing.assert_close(block @ block.T, torch.eye(hidden, dtype=torch.float64), **loose)
    biases = (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach().split(hidden)
    assert [float(b.mean()) for b in biases] == [0.0, 1.0, 0.0, 0.0]
    encoder = network.encoder[0].weight.detach()
    torch.testing.assert_close(encoder.T @ encoder, 2 * torch.eye(network.input_dim, dtype=torch.float64), **loose)
    hidden_layer = network.get_submodule("op_head")[0].weight.detach()
    torch.testing.assert_close(hidden_layer @ hidden_layer.T, 2 * torch.eye(hidden // 2, dtype=torch.float64), **loose)
    table = build(schema=FeatureSchema((), indices=(IndexField("blueprint", 1, 2000),))).get_submodule(
        "blueprint_embedding.table"
    )
    assert float(table.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("config", [LstmV2Config(hidden_dim=20), LstmV1Config(hidden_dim=20)])
def test_the_blueprint_head_is_deeper_in_v2_only(config: LstmV2Config | LstmV1Config) -> None:
    network = build(config)
    widths = {
        head.name: [m.out_features for m in network.get_submodule(f"{head.name}_head") if hasattr(m, "out_features")]
        for head in HEADS
    }
    deep = [20, 5, 4] if isinstance(config, LstmV2Config) else [10, 4]
    assert widths == {"op": [10, 3], "slot": [10, 2], "blueprint": deep}


def test_chosen_heads_can_be_deep() -> None:
    network = build(LstmV2Config(hidden_dim=16, deep_heads=("op",)))
    assert len(network.get_submodule("op_head")) == 5 and len(network.get_submodule("blueprint_head")) == 3


def test_the_recurrence_stays_float32_among_bf16_layers() -> None:
    network = build().float()
    features = inputs()
    obs, start = features.obs.float(), torch.zeros(3, 7, dtype=torch.bool)
    seen: list[torch.dtype] = []
    network.lstm.register_forward_pre_hook(lambda module, args: seen.extend([args[0].dtype, args[1][0].dtype]))
    with autocast("bf16", "cpu"):
        whole = network(Features(obs, features.indices), network.initial_state(3), start)
        state = network.initial_state(3)
        for t in range(7):
            now = {name: index[:, t : t + 1] for name, index in features.indices.items()}
            state = network(Features(obs[:, t : t + 1], now), state, start[:, t : t + 1]).state
    assert set(seen) == {torch.float32} and whole.logits["op"].dtype == torch.bfloat16
    assert {value.dtype for value in (*whole.state, *state)} == {torch.float32}
    # Far below the rounding of bf16, which would be about 4e-3.
    torch.testing.assert_close(state.c, whole.state.c, atol=1e-5, rtol=1e-5)


def test_half_a_batch_is_half_the_result() -> None:
    network, features = build(), inputs()
    close(run(network, features).latent[:2], run(network, cut(features, slice(0, 2), slice(None))).latent)


def test_weights_keep_float32_outputs_finite_for_extreme_observations() -> None:
    network = build().float()
    features = Features(torch.full((1, 3, SCHEMA.dim), 1e6), {"blueprint": torch.zeros(1, 3, 2, dtype=torch.int64)})
    output = run(network, features)
    assert bool(output.latent.isfinite().all()) and math.isfinite(float(output.logits["op"].sum()))
