"""What is particular to the network: its pool, its pointer, memories that follow their slots, its size."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from esper_core import ActionSpec, Feature, FeatureSchema, Head, IndexField, SlotConfig, StateSpec
from esper_core.composition.build import build_parts
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.precision import autocast
from esper_core.contracts.protocols import BuildContext, Features, NetworkOutput
from esper_core.registry.loading import load_index
from esper_lstm_slots.config import LstmSlotsConfig
from esper_lstm_slots.network import LstmSlots, SlotsState
from esper_lstm_slots.pooling import SlotPool
from esper_testing.case import trainable

OPS, ENVS, STEPS, BASE, OWN = ("WAIT", "GROW", "CUT"), 3, 5, 4, 3


def build(count: int = 4, **options: bool | int) -> LstmSlots:
    torch.manual_seed(0)
    slots = SlotConfig.for_grid(1, count)
    actions = ActionSpec((Head("op", OPS), Head("slot", slots.slot_ids, ops=OPS[1:])), root="op", slot="slot")
    base, own = (tuple(Feature(f"{part}{i}", "", -1, 1, "") for i in range(n)) for part, n in (("b", BASE), ("s", OWN)))
    schema = FeatureSchema(base, own, count, (IndexField("kind", count, 4, per_slot=True), IndexField("task", 1, 2)))
    context = BuildContext(slots, actions, StateSpec(()), schema, 0, 0.99, ENVS, 0, "cpu", torch.float64)
    config = LstmSlotsConfig(**{"hidden_dim": 16, "slot_dim": 8, "key_dim": 6, **options})
    return LstmSlots(config, context).double()


def shown(count: int = 4, seed: int = 1) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return base `[E, T, B]`, blocks `[E, T, N, P]` and indices."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(ENVS, STEPS, *shape, generator=generator, dtype=torch.float64)

    kinds = torch.randint(-1, 4, (ENVS, STEPS, count), generator=generator)
    return drawn(BASE), drawn(count, OWN), {"kind": kinds, "task": torch.ones(ENVS, STEPS, 1, dtype=torch.int64)}


def run(
    network: LstmSlots, base: Tensor, blocks: Tensor, indices: dict[str, Tensor], state: SlotsState | None = None
) -> NetworkOutput:
    start = torch.zeros(base.shape[:2], dtype=torch.bool)
    features = Features(torch.cat([base, blocks.flatten(2)], -1), indices)
    output: NetworkOutput = network(features, state or network.initial_state(len(base)), start)
    return output


def lively(network: LstmSlots) -> LstmSlots:
    """Return it with heads that say something."""
    for layer in (network.slot_query, network.get_submodule("op_head")):
        torch.nn.init.normal_(layer.weight)
    return network


def test_it_passes_every_check_of_its_kind(conforms: Callable[[str], None]) -> None:
    """Among them: slots in another order, twice, and among padding; the same weights for 1 to 12."""
    conforms("network/lstm-slots")


def test_in_another_order_slots_have_their_logits_and_memories_in_that_order_and_all_else_is_the_same() -> None:
    network, (base, blocks, indices), order = lively(build()), shown(), [2, 0, 3, 1]
    before = run(network, base, blocks, indices)
    moved = before.state._replace(slots=before.state.slots[:, :, order])
    expected = run(network, base, blocks, indices, before.state)
    indices["kind"] = indices["kind"][..., order]
    found = run(network, base, blocks[:, :, order], indices, moved)
    torch.testing.assert_close(found.latent, expected.latent)
    torch.testing.assert_close(found.logits["op"], expected.logits["op"])
    torch.testing.assert_close(found.logits["slot"], expected.logits["slot"][..., order])
    torch.testing.assert_close(found.state.slots, expected.state.slots[:, :, order])
    assert not torch.allclose(expected.logits["slot"], expected.logits["slot"][..., order])


@pytest.mark.parametrize("there", [None, [0, 2, 3], [1], []])
def test_the_pool_is_that_of_its_formulas(there: list[int] | None) -> None:
    """Padding is left out, whatever it holds; where there would be nothing else it is none."""
    pool, generator = SlotPool(6, 5).double(), torch.Generator().manual_seed(0)
    slots, asking = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in ((4, 6), (5,)))
    kept = slots[there] if there else slots
    scores = [float((slot @ pool.query(asking)).detach()) / math.sqrt(6) for slot in kept]
    total = sum(map(math.exp, scores))
    asked = sum(math.exp(score) / total * slot for score, slot in zip(scores, kept, strict=True))
    worth = torch.tensor([math.log(total / len(kept))], dtype=torch.float64)
    expected = torch.cat([kept.mean(0), kept.amax(0), asked, worth])
    present = None if there is None else torch.tensor([slot in there for slot in range(4)])
    if there:
        slots = slots.masked_fill(~present[:, None], 1e9)
    torch.testing.assert_close(pool(slots, asking, present), expected)
    twice = None if present is None else present.repeat(2)
    torch.testing.assert_close(pool(slots.repeat(2, 1), asking, twice), expected)


def test_each_operation_points_at_slots_of_its_own() -> None:
    network, given = lively(build()), shown()
    output = run(network, *given)
    _, blocks, indices = given
    kinds = network.get_submodule("kind_embedding")(indices["kind"] % 5)
    slots = network.slot_encoder(torch.cat([blocks, kinds], -1))[:, -1] + output.state.slots[0]
    query = network.slot_query(output.latent[:, -1]).view(ENVS, len(OPS), 6)
    expected = torch.stack([network.slot_key(slots) @ query[:, op, :, None] for op in range(len(OPS))], 1)
    torch.testing.assert_close(output.logits["slot"][:, -1], expected.squeeze(-1) / math.sqrt(6))
    assert len({tuple(row) for row in output.logits["slot"].argmax(-1).flatten(0, 1).tolist()}) > 1


@pytest.mark.parametrize("slot_memory", [True, False])
def test_a_slot_is_known_by_its_history_where_it_has_a_memory(slot_memory: bool) -> None:
    network, (base, blocks, indices) = lively(build(slot_memory=slot_memory)), shown()
    blocks[:, 1:], indices["kind"][:, 1:] = blocks[:, 1:, :1], indices["kind"][:, 1:, :1]
    output = run(network, base, blocks, indices)
    last = output.logits["slot"][:, -1]
    same = torch.allclose(last, last[..., :1].expand_as(last))
    assert same != slot_memory, "slots that look the same now looked different at first"
    assert output.state.slots.shape == (1, ENVS, 4, 8 if slot_memory else 0)
    assert network.memory is not None or not any("memory" in name for name in trainable(network))


def test_the_first_policy_is_nearly_uniform() -> None:
    logits = run(build(), *shown()).logits
    assert all(float(value.detach().abs().max()) < 0.1 for value in logits.values())


def test_memories_are_never_rounded() -> None:
    network, (base, blocks, indices) = build().float(), shown()
    with autocast("bf16", "cpu"):
        state = run(network, base.float(), blocks.float(), indices).state
    assert all(part.dtype == torch.float32 for part in state)


def test_it_has_as_many_parameters_for_every_number_of_slots() -> None:
    pytest.importorskip("esper_growth", reason="the environment that it is meant for")
    index, found = load_index(), []
    for slots in ("1", "5", "12"):
        plan = make_plan(PlanRequest(policy="lstm-slots", slots=slots, device="cpu"), index)
        parts = build_parts(plan, index, only={"features", "network", "critic"})
        found.append(sum(p.numel() for kind in ("network", "critic") for p in parts[kind].parameters()))
    assert found == [248_479] * 3, "the README says so"


def test_what_shows_no_slots_is_refused() -> None:
    slots = SlotConfig.for_grid(1, 2)
    actions = ActionSpec((Head("op", OPS), Head("slot", slots.slot_ids)), root="op", slot="slot")
    column = (Feature("some", "", 0, 1, ""),)
    for schema, words in (
        (FeatureSchema(column), "no part for each"),
        (FeatureSchema(column, column, 3), "sees 3 slot"),
    ):
        context = BuildContext(slots, actions, StateSpec(()), schema, 0, 0.99, 1, 0, "cpu", torch.float32)
        with pytest.raises(IncompatiblePlan, match=words):
            LstmSlots(LstmSlotsConfig(), context)
