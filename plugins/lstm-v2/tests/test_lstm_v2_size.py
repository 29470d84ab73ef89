"""Parameter counts against the arithmetic of layer shapes, on the action table and observation they were given for."""

from __future__ import annotations

import pytest
import torch

from esper_core import ActionSpec, Feature, FeatureSchema, Head, IndexField, SlotConfig, StateSpec
from esper_core.contracts.protocols import BuildContext
from esper_lstm_v2.config import LstmV1Config, LstmV2Config
from esper_lstm_v2.network import LstmNetwork

SIZES = {"op": 6, "blueprint": 13, "style": 4, "tempo": 3, "alpha_target": 3, "alpha_speed": 4, "alpha_curve": 5}


def build(config: LstmV2Config | LstmV1Config, num_slots: int) -> LstmNetwork:
    heads = {"slot": num_slots, **SIZES}
    schema = FeatureSchema(
        tuple(Feature(f"b{i}", "", 0, 1, "") for i in range(31)),
        tuple(Feature(f"s{i}", "", 0, 1, "") for i in range(30)),
        num_slots,
        (IndexField("blueprint", num_slots, 13),),
    )
    actions = ActionSpec(tuple(Head(n, tuple(map(str, range(k)))) for n, k in heads.items()), root="op", slot="slot")
    slots = SlotConfig.for_grid(1, num_slots)
    return LstmNetwork(
        config, BuildContext(slots, actions, StateSpec(()), schema, 0, 0.995, 8, 0, "cpu", torch.float32)
    )


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def expected(hidden: int, num_slots: int, deep: bool) -> int:
    sizes = [num_slots, *SIZES.values()]
    encoder = linear(31 + 34 * num_slots, hidden) + 2 * hidden
    lstm = 4 * hidden * 2 * hidden + 2 * 4 * hidden
    heads = sum(linear(hidden, hidden // 2) + linear(hidden // 2, k) for k in sizes)
    if deep:
        heads -= linear(hidden, hidden // 2) + linear(hidden // 2, 13)
        heads += linear(hidden, hidden) + linear(hidden, hidden // 4) + linear(hidden // 4, 13)
    return 14 * 4 + encoder + lstm + 2 * hidden + heads


@pytest.mark.parametrize(
    ("config", "num_slots", "parameters", "input_dim"),
    [
        (LstmV2Config(), 5, 3_596_900 - 133_121, 201),
        (LstmV2Config(), 3, 3_561_570 - 133_121, 133),
        (LstmV1Config(), 5, 235_684 - 8_321, 201),
        (LstmV1Config(), 3, 226_850 - 8_321, 133),
    ],
)
def test_parameters(config: LstmV2Config | LstmV1Config, num_slots: int, parameters: int, input_dim: int) -> None:
    network = build(config, num_slots)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert expected(config.hidden_dim, num_slots, deep=isinstance(config, LstmV2Config)) == parameters
    assert network.input_dim == input_dim
