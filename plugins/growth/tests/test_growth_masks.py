"""Which actions there are, and which of them are legal."""

import pytest
import torch
from attrs import evolve

from esper_core import SlotConfig
from esper_growth.actions import BLUEPRINT_TOPOLOGY, Op, action_spec
from esper_growth.masks import LifecycleMasks
from esper_growth.stages import AlphaMode, Stage


def state(stage=Stage.DORMANT):
    columns = {"stage": stage, "age": 0, "alpha_mode": AlphaMode.HOLD}
    columns = {name: torch.full((2, 3), int(value)) for name, value in columns.items()}
    return columns | {"auto_advance": torch.tensor([True, True])}


@pytest.fixture
def masks(make_context):
    return LifecycleMasks(None, make_context())


def test_wait_is_always_legal_and_targets_no_slot(masks):
    for stage in Stage:
        legal = masks(state(stage=stage))
        assert bool(legal.heads["op"][:, Op.WAIT].all())
        assert not bool(legal.slot_given_op[:, Op.WAIT].any())


def test_an_operation_is_legal_where_some_slot_is(masks):
    mixed = state()
    mixed["stage"] = torch.tensor([[Stage.HOLDING, Stage.FOSSILIZED, Stage.FOSSILIZED], [Stage.FOSSILIZED] * 3])
    legal = masks(mixed)
    assert legal.heads["op"][:, Op.FOSSILIZE].tolist() == [True, False]
    assert torch.equal(legal.heads["op"][:, 1:], legal.slot_given_op.any(2)[:, 1:])
    assert torch.equal(legal.heads["slot"], legal.slot_given_op.any(1))


def test_only_blueprints_of_the_host_are_legal_and_without_one_nothing_germinates(masks, make_context):
    context = make_context()
    labels, legal = context.actions.head("blueprint").labels, masks(state()).heads["blueprint"][0].tolist()
    fitting = {"conv_light", "attention", "norm", "depthwise", "bottleneck", "conv_small", "conv_heavy"}
    assert {label for label, ok in zip(labels, legal, strict=True) if ok} == fitting and len(labels) == 13
    bare = evolve(context, parts={**context.parts, "blueprint": {}})
    assert not bool(LifecycleMasks(None, bare)(state()).heads["op"][:, Op.GERMINATE].any())


def test_the_action_table_is_the_specified_one():
    spec = action_spec(SlotConfig.for_grid(1, 5), tuple(BLUEPRINT_TOPOLOGY))
    sizes = {"op": 6, "slot": 5, "blueprint": 13, "style": 4, "tempo": 3, "alpha_target": 3, "alpha_speed": 4}
    assert spec.sizes == {**sizes, "alpha_curve": 5}
    relevant = {head: [op for op, on in zip(spec.ops, spec.relevance(head), strict=True) if on] for head in spec.names}
    assert relevant == {
        "op": list(spec.ops),
        "slot": ["GERMINATE", "SET_ALPHA_TARGET", "PRUNE", "FOSSILIZE", "ADVANCE"],
        "blueprint": ["GERMINATE"],
        "style": ["GERMINATE", "SET_ALPHA_TARGET"],
        "tempo": ["GERMINATE"],
        "alpha_target": ["GERMINATE", "SET_ALPHA_TARGET"],
        "alpha_speed": ["SET_ALPHA_TARGET", "PRUNE"],
        "alpha_curve": ["SET_ALPHA_TARGET", "PRUNE"],
    }
