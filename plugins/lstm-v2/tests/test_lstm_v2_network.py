"""What is particular to the networks: initial weights, sizes, deep heads, embedded indices, float32 recurrence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from esper_core import ActionSpec, Feature, FeatureSchema, Head, IndexField, SlotConfig, StateSpec
from esper_core.contracts.precision import autocast
from esper_core.contracts.protocols import BuildContext, Features, NetworkOutput
from esper_lstm_v2.config import LstmV1Config, LstmV2Config
from esper_lstm_v2.network import LstmNetwork
from esper_testing.conformance.tensors import cut

SIZES = {"op": 3, "slot": 2, "blueprint": 4}
SMALL = LstmV2Config(hidden_dim=16)


def schema_of(base: int, per_slot: int, num_slots: int, blueprints: int) -> FeatureSchema:
    return FeatureSchema(
        tuple(Feature(f"b{i}", "", -1, 1, "") for i in range(base)),
        tuple(Feature(f"s{i}", "", -1, 1, "") for i in range(per_slot)),
        num_slots,
        (IndexField("blueprint", num_slots, blueprints),),
    )


SCHEMA = schema_of(3, 2, 2, 4)


def build(
    config: LstmV2Config | LstmV1Config = SMALL, sizes: dict[str, int] = SIZES, schema: FeatureSchema = SCHEMA
) -> LstmNetwork:
    torch.manual_seed(0)
    actions = ActionSpec(tuple(Head(n, tuple(map(str, range(k)))) for n, k in sizes.items()), root="op", slot="slot")
    slots = SlotConfig.for_grid(1, sizes["slot"])
    context = BuildContext(slots, actions, StateSpec(()), schema, 0, 0.99, 3, 0, "cpu", torch.float64)
    return LstmNetwork(config, context).double()


def inputs(envs: int = 3, steps: int = 7) -> Features:
    generator = torch.Generator().manual_seed(1)
    indices = torch.randint(-1, 4, (envs, steps, 2), generator=generator)
    obs = torch.randn(envs, steps, SCHEMA.dim, generator=generator, dtype=torch.float64)
    return Features(obs, {"blueprint": indices})


def run(network: LstmNetwork, features: Features) -> NetworkOutput:
    envs, steps = features.obs.shape[:2]
    return network(features, network.initial_state(envs), torch.zeros(envs, steps, dtype=torch.bool))


def test_it_passes_every_check_of_its_kind(conforms: Callable[[str], None]) -> None:
    """The smaller of the two, which is the same network."""
    conforms("network/lstm-v1")


def test_stacked_layers_step_by_step_equal_the_whole_sequence() -> None:
    network, features = build(LstmV2Config(hidden_dim=16, lstm_layers=2)), inputs()
    whole, state = run(network, features), network.initial_state(3)
    assert state.h.shape == (2, 3, 16)
    for t in range(7):
        output = network(cut(features, slice(None), slice(t, t + 1)), state, torch.full((3, 1), t == 0))
        state = output.state
        torch.testing.assert_close(output.latent[:, 0], whole.latent[:, t])
    torch.testing.assert_close(tuple(state), tuple(whole.state))


def test_every_column_of_the_observation_and_every_index_moves_every_head() -> None:
    network, features = build(), inputs(envs=1, steps=1)
    for layer in (network.get_submodule(f"{name}_head")[-1] for name in SIZES):
        torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(network.get_submodule("blueprint_embedding.table").weight)
    before = run(network, features).logits
    for column in range(SCHEMA.dim):
        obs = features.obs.clone()
        obs[..., column] += 1
        after = run(network, Features(obs, features.indices)).logits
        assert not any(torch.allclose(before[name], after[name]) for name in SIZES), column
    for position in range(2):
        outcomes, index = set(), features.indices["blueprint"].clone()
        for index[..., position] in range(-1, 4):
            logits = run(network, Features(features.obs, {"blueprint": index})).logits["op"]
            outcomes.add(tuple(logits.flatten().tolist()))
        assert len(outcomes) == 5
    with pytest.raises(IndexError):
        run(network, Features(features.obs, {"blueprint": torch.full_like(index, 5)}))


def test_initial_weights() -> None:
    hidden = 64
    network, loose = build(LstmV2Config(hidden_dim=hidden)), {"atol": 1e-5, "rtol": 0.0}  # made in float32

    def is_orthogonal(weight: torch.Tensor, gain: float) -> None:
        torch.testing.assert_close(weight @ weight.T, gain * torch.eye(len(weight), dtype=torch.float64), **loose)

    for block in network.lstm.weight_hh_l0.detach().split(hidden):
        is_orthogonal(block, 1)
    biases = (network.lstm.bias_ih_l0 + network.lstm.bias_hh_l0).detach().split(hidden)
    assert [float(b.mean()) for b in biases] == [0.0, 1.0, 0.0, 0.0]
    is_orthogonal(network.encoder[0].weight.detach().T, 2)
    first, _, last = network.get_submodule("op_head")
    is_orthogonal(first.weight.detach(), 2)
    is_orthogonal(last.weight.detach() / 0.01, 1)  # small: the first policy is nearly uniform
    table = build(schema=schema_of(0, 0, 1, 2000)).get_submodule("blueprint_embedding.table")
    assert float(table.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(
    ("config", "widths"),
    [
        (LstmV2Config(hidden_dim=20), {"op": [10, 3], "slot": [10, 2], "blueprint": [20, 5, 4]}),
        (LstmV1Config(hidden_dim=20), {"op": [10, 3], "slot": [10, 2], "blueprint": [10, 4]}),
        (LstmV2Config(hidden_dim=20, deep_heads=("op",)), {"op": [20, 5, 3], "slot": [10, 2], "blueprint": [10, 4]}),
    ],
)
def test_chosen_heads_are_deeper(config: LstmV2Config | LstmV1Config, widths: dict[str, list[int]]) -> None:
    network = build(config)
    heads = {name: network.get_submodule(f"{name}_head") for name in SIZES}
    assert {n: [m.out_features for m in head if hasattr(m, "out_features")] for n, head in heads.items()} == widths


@pytest.mark.parametrize(
    ("config", "num_slots", "parameters", "input_dim"),
    [(LstmV2Config(), 5, 3_596_900 - 133_121, 201), (LstmV1Config(), 3, 226_850 - 8_321, 133)],
)
def test_parameters(config: LstmV2Config | LstmV1Config, num_slots: int, parameters: int, input_dim: int) -> None:
    """On the actions and the observation of `growth`; with the critic they are the published totals."""
    others = {"blueprint": 13, "style": 4, "tempo": 3, "alpha_target": 3, "alpha_speed": 4, "alpha_curve": 5}
    network = build(config, {"op": 6, "slot": num_slots, **others}, schema_of(31, 30, num_slots, 13))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.input_dim == input_dim


def test_the_recurrence_stays_float32_among_bf16_layers() -> None:
    network, features = build().float(), inputs()
    features = features._replace(obs=features.obs.float())
    read: list[torch.Tensor] = []
    network.lstm.register_forward_pre_hook(lambda module, args: read.extend([args[0].detach(), args[1][0]]))
    with autocast("bf16", "cpu"):
        output = run(network, features)
    assert {value.dtype for value in (*read, *output.state)} == {torch.float32}
    assert output.logits["op"].dtype == torch.bfloat16
    assert float(read[0].min()) == 0 < float(read[0].max()), "the LSTM reads what is rectified"
