import pytest
import torch
from attrs import evolve

from esper_growth.actions import Op
from esper_growth.masks import LifecycleMasks
from esper_growth.stages import AlphaMode, Stage


def state(**columns):
    base = {"stage": Stage.DORMANT, "age": 0, "alpha_mode": AlphaMode.HOLD}
    return {key: torch.full((2, 3), int(columns.get(key, value))) for key, value in base.items()} | {
        "auto_advance": torch.tensor([True, True])
    }


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
