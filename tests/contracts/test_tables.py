"""The tables of actions, observations and states, and what is derived from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attrs import evolve, fields
from gymnasium.spaces import Box, Discrete

from esper_core import (
    ActionSpec,
    ArrayField,
    ContinuousHead,
    Feature,
    FeatureSchema,
    Head,
    IndexField,
    StateField,
    StateSpec,
)
from esper_core.contracts.spaces import action_space

OPS = ("WAIT", "GROW", "CUT")


SPEC = ActionSpec(
    heads=(
        Head("op", OPS),
        Head("slot", ("r0c0", "r0c1"), ops=("GROW", "CUT")),
        Head("what", ("a", "b", "c"), neutral=2, ops=("GROW",), entropy_weight=1.3),
        Head("how", ("x", "y")),
    ),
    root="op",
    slot="slot",
)


NUMBERS = ContinuousHead("push", ("x", "y"))


def test_the_causal_table_has_one_column_per_head() -> None:
    spec = SPEC
    table = [spec.relevance(name) for name in ("op", "slot", "what", "how")]
    assert table == [(True, True, True), (False, True, True), (False, True, False), (True, True, True)]
    assert spec.sizes == {"op": 3, "slot": 2, "what": 3, "how": 2}
    assert spec.ops == OPS
    assert [head.name for head in spec.children] == ["slot", "what", "how"]
    with pytest.raises(KeyError, match="heads are op, slot, what, how"):
        spec.head("style")
    rootless = ActionSpec((Head("left", ("a",)), Head("right", ("b", "c"))))
    assert (rootless.ops, rootless.relevance("right"), rootless.children) == ((), (), rootless.heads)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Head("op", ()), "has no labels"),
        (lambda: Head("op", ("a", "b"), neutral=2), r"outside 0\.\.1"),
        (lambda: Head("op", ("a", "b"), neutral=-1), "outside"),
        (lambda: ActionSpec((Head("a", ("x",)), Head("a", ("y",)))), "not unique"),
        (lambda: ActionSpec((Head("a", ("x",)),), root="op"), "root head 'op'"),
        (lambda: ActionSpec((Head("op", ("x",)),), root="op", slot="slot"), "slot head 'slot'"),
        (lambda: ActionSpec((Head("slot", ("x",)),), slot="slot"), "needs a root head"),
        (lambda: ActionSpec((Head("a", ("x",), ops=("GROW",)),)), "there is no root head"),
        (lambda: ActionSpec((Head("op", OPS), Head("a", ("x",), ops=("JUMP",))), root="op"), "operations: JUMP"),
        (lambda: ContinuousHead("a", ()), "has no numbers"),
        (lambda: ContinuousHead("a", ("x", "y", "z"), low=(0, 0)), "2 bounds 'low' for 3 numbers"),
        (lambda: ContinuousHead("a", ("x", "y"), high=(1, -1)), "bounds of 'y', -1 and -1, have no number between"),
        (lambda: ContinuousHead("a", ("x",), low=math.nan), "nan and 1, have no number between"),
        (lambda: ContinuousHead("a", ("x",), high=math.inf), r"'x' goes from -1 to inf.*squash=False"),
        (lambda: ContinuousHead("a", ("x",), low=-1e39), "finite in float32"),
        (lambda: ActionSpec((NUMBERS,), root="push"), "root head 'push' consists of numbers"),
        (lambda: ActionSpec((Head("op", OPS), NUMBERS), root="op", slot="push"), "slot head 'push' consists of"),
        (lambda: ActionSpec((evolve(NUMBERS, ops=("GO",)),)), "there is no root head"),
    ],
)
def test_impossible_tables(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


def test_the_digest_follows_the_meaning() -> None:
    renamed = evolve(SPEC, heads=(*SPEC.heads[:3], evolve(SPEC.heads[3], labels=("x", "z"))))
    assert len({SPEC.digest, evolve(SPEC).digest, renamed.digest, evolve(SPEC, slot=None).digest}) == 3
    assert SPEC.digest == "758213c52be74593", "checkpoints of categorical policies stay readable"
    changes = {
        "name": "pull",
        "dims": ("x", "z"),
        "low": (-1, -3),
        "high": 2,
        "squash": False,
        "ops": ("GROW",),
        "entropy_weight": 2.0,
    }
    changed = [NUMBERS, *(evolve(NUMBERS, **{key: value}) for key, value in changes.items())]
    assert {field.name for field in fields(ContinuousHead)} == set(changes)
    tables = [ActionSpec((Head("op", OPS), head), root="op") for head in changed]
    assert len({table.digest for table in tables}) == len(tables)


def test_numbers_stand_beside_categories() -> None:
    spec = ActionSpec((NUMBERS, Head("op", OPS)), root="op")
    assert spec.sizes == {"push": 4, "op": 3}
    assert ([h.name for h in spec.categorical], [h.name for h in spec.continuous]) == (["op"], ["push"])
    assert spec.relevance("push") == (True, True, True)
    with pytest.raises(KeyError, match="'push' consists of numbers"):
        spec.category("push")
    free = evolve(NUMBERS, name="free", squash=False, high=(math.inf, 5))
    space = action_space(evolve(spec, heads=(*spec.heads, free)))
    assert set(space) == {"push", "op", "free"}
    push, other = space["push"], space["free"]
    assert isinstance(push, Box) and isinstance(other, Box)
    assert push.dtype == np.float32 and push.low.tolist() == [-1, -1] and push.high.tolist() == [1, 1]
    assert other.high.tolist() == [math.inf, 5] and space["op"] == Discrete(3)


def feature(name: str, **changes: object) -> Feature:
    return Feature(**({"name": name, "formula": name, "low": 0.0, "high": 1.0, "source": name} | changes))


SCHEMA = FeatureSchema(
    base=(feature("a"), feature("b")),
    per_slot=(feature("x"), feature("y"), feature("z")),
    num_slots=2,
    indices=(IndexField("kind", 2, 13),),
)


def test_dimension_and_names_follow_the_layout() -> None:
    assert SCHEMA.dim == 8
    assert SCHEMA.names == ("a", "b", "slot0.x", "slot0.y", "slot0.z", "slot1.x", "slot1.y", "slot1.z")


def test_the_digest_covers_layout_and_meaning() -> None:
    base = (feature("a", high=2.0), feature("b"))
    arrays = (
        {"arrays": (ArrayField("image", (3, size), dtype),)}
        for size, dtype in ((4, "float"), (4, "uint8"), (5, "uint8"))
    )
    changes = ({"num_slots": 3}, {"base": SCHEMA.base[::-1]}, {"base": base}, {"indices": (IndexField("kind", 2, 14),)})
    digests = {evolve(SCHEMA, **change).digest for change in (*changes, *arrays)}
    assert len({SCHEMA.digest, evolve(SCHEMA).digest, *digests}) == 8
    assert SCHEMA.digest == "8546fcf8d4a1c07a", "checkpoints hold it"
    assert evolve(SCHEMA, arrays=[ArrayField("image", (3, 4), "uint8")]).size == 8 + 2 + 12
    for shape, dtype in (((), "float"), ((0,), "float"), ((3,), "int8")):
        with pytest.raises(ValueError, match=r"array 'q': the (shape|dtype)|array 'q': dtype"):
            ArrayField("q", shape, dtype)


def test_state_tables_are_looked_up_by_name() -> None:
    loss = StateField("loss", ("E",), "float", "nats", "loss")
    spec = StateSpec([loss])  # type: ignore[arg-type]
    assert spec["loss"] is loss
    assert spec.names == ("loss",)
    with pytest.raises(KeyError, match="no state field 'los'"):
        spec["los"]
    for shape, dtype in ((("E",), "double"), ((), "int"), (("N", "E"), "int")):
        with pytest.raises(ValueError, match=r"not float, int, bool or uint8|first axis"):
            StateField("q", shape, dtype, "", "")
    assert StateField("q", ("E", "N", "O", 4), "float", "", "").sizes(2, 3, 6) == (2, 3, 6, 4)
