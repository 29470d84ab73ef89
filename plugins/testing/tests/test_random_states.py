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


def make_actions(num_slots: int) -> ActionSpec:
    slot = Head("slot", tuple(f"r0c{i}" for i in range(num_slots)), ops=("GROW", "CUT"))
    heads = (Head("op", ("WAIT", "GROW", "CUT", "LOOK")), slot, Head("what", ("a", "b", "c"), ops=("GROW",)))
    return ActionSpec(heads, root="op", slot="slot")


def test_states_have_the_shapes_types_and_ranges_of_the_table() -> None:
    state = random_state(STATE, make_actions(3), 50, 3, torch.Generator().manual_seed(0))
    assert [tuple(value.shape) for value in state.values()] == [(50,), (50, 4), (50, 3), (50, 3, 4)]
    assert [value.dtype for value in state.values()] == [torch.int64, torch.float32, torch.bool, torch.int64]
    known = {name: set(state[name].flatten().tolist()) for name in ("epoch", "pairs", "open")}
    assert known == {"epoch": {3, 4, 5}, "pairs": {-1, 0}, "open": {True, False}}
    low, high = state["loss"].aminmax()
    assert -1 <= low <= high <= 2 < high - low


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.sampled_from([(4,), (3, 5)]), st.integers(0, 2**32), st.floats(0, 1))
def test_masks_are_consistent(num_slots: int, shape: tuple[int, ...], seed: int, legal: float) -> None:
    actions = make_actions(num_slots)
    masks = random_masks(actions, shape, torch.Generator().manual_seed(seed), legal=legal)
    check_masks(actions, masks)
    ops, slots = masks.heads["op"], masks.slot_given_op
    assert slots is not None and slots.shape == (*shape, 4, num_slots)
    assert all(masks.heads[head.name].shape == (*shape, head.size) for head in actions.heads)
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
    chosen = {name: torch.tensor(value) for name, value in taken.items()}
    found = illegal_actions(actions, Masks(heads, by_op), chosen)
    illegal = {name: value.nonzero().flatten().tolist() for name, value in found.items()}
    assert illegal == {"op": [], "slot": [1], "what": [3]}
    heads["op"][:, 2] = False
    assert illegal_actions(actions, Masks(heads, by_op), chosen)["op"].tolist() == [False, True, True, False]
