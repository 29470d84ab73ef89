"""Random states and masks keep to the tables they are drawn from."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_core import ActionSpec, Head, StateField, StateSpec
from esper_core.contracts.protocols import Masks
from esper_core.policy.masking import check_masks
from esper_testing.states import illegal_actions, random_masks, random_state

STATE = StateSpec(
    (
        StateField("epoch", ("E",), "int", "", "", 3, 5),
        StateField("loss", ("E", 4), "float", "", "", -1, 2),
        StateField("open", ("E", "N"), "bool", "", ""),
        StateField("pairs", ("E", "N", "O"), "int", "", "", -1, 0),
    )
)


def make_actions(num_slots: int, *, slot: bool = True, root: bool = True) -> ActionSpec:
    ops = ("WAIT", "GROW", "CUT", "LOOK")
    heads = [Head("op", ops), Head("slot", [f"r0c{i}" for i in range(num_slots)], ops=ops[1:3] if root else None)]  # type: ignore[arg-type]
    heads.append(Head("what", ("a", "b", "c"), ops=("GROW",) if root else None))
    return ActionSpec(tuple(heads), root="op" if root else None, slot="slot" if slot and root else None)


def test_states_have_the_shapes_types_and_ranges_of_the_table() -> None:
    state = random_state(STATE, make_actions(3), 50, 3, torch.Generator().manual_seed(0))
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "epoch": (50,),
        "loss": (50, 4),
        "open": (50, 3),
        "pairs": (50, 3, 4),
    }
    assert [value.dtype for value in state.values()] == [torch.int64, torch.float32, torch.bool, torch.int64]
    assert set(state["epoch"].tolist()) == {3, 4, 5}
    assert set(state["pairs"].flatten().tolist()) == {-1, 0}
    assert state["loss"].min() >= -1
    assert state["loss"].max() <= 2
    assert state["loss"].max() - state["loss"].min() > 2
    assert set(state["open"].flatten().tolist()) == {True, False}


@settings(max_examples=60, deadline=None)
@given(
    num_slots=st.integers(1, 6),
    shape=st.sampled_from([(4,), (3, 5)]),
    seed=st.integers(0, 2**32),
    legal=st.floats(0, 1),
)
def test_masks_are_consistent(num_slots: int, shape: tuple[int, ...], seed: int, legal: float) -> None:
    actions = make_actions(num_slots)
    masks = random_masks(actions, shape, torch.Generator().manual_seed(seed), legal=legal)
    assert masks.slot_given_op is not None
    assert masks.slot_given_op.shape == (*shape, 4, num_slots)
    assert {name: mask.shape for name, mask in masks.heads.items()} == {
        head.name: (*shape, head.size) for head in actions.heads
    }
    check_masks(actions, masks)
    ops, slots = masks.heads["op"], masks.slot_given_op
    assert ops[..., 0].all()
    assert torch.equal(ops[..., 1:3], slots.any(-1)[..., 1:3])
    assert not slots[..., [0, 3], :].any()
    assert torch.equal(masks.heads["slot"], slots.any(-2))
    assert masks.heads["what"].any(-1).all()


def test_masks_vary() -> None:
    masks = random_masks(make_actions(3), (200,), torch.Generator().manual_seed(0))
    for name, mask in masks.heads.items():
        share = mask.float().mean(0)
        assert ((share > 0) & ((share < 1) | (name == "op"))).all(), name


def test_illegal_actions_are_found_where_they_matter() -> None:
    """Four rows: nothing asked, a slot that is legal for the other operation only, a legal one, an illegal detail."""
    actions = make_actions(2)
    by_op = torch.zeros(4, 4, 2, dtype=torch.bool)
    by_op[:, 1, 0] = by_op[:, 2, 1] = True
    heads = {"op": torch.ones(4, 4, dtype=torch.bool), "slot": by_op.any(1), "what": torch.ones(4, 3, dtype=torch.bool)}
    heads["what"][:, 2] = False
    taken = {"op": [0, 2, 2, 1], "slot": [1, 0, 1, 0], "what": [2, 2, 2, 2]}
    found = illegal_actions(actions, Masks(heads, by_op), {name: torch.tensor(value) for name, value in taken.items()})
    assert {name: value.tolist() for name, value in found.items()} == {
        "op": [False] * 4,
        "slot": [False, True, False, False],
        "what": [False, False, False, True],
    }
    heads["op"][:, 2] = False
    found = illegal_actions(actions, Masks(heads, by_op), {name: torch.tensor(value) for name, value in taken.items()})
    assert found["op"].tolist() == [False, True, True, False]
