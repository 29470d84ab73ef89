"""The action table, and what is derived from it."""

from __future__ import annotations

import pytest
from attrs import evolve

from esper_core import ActionSpec, Head

OPS = ("WAIT", "GROW", "CUT")


def make_spec() -> ActionSpec:
    return ActionSpec(
        heads=(
            Head("op", OPS),
            Head("slot", ("r0c0", "r0c1"), ops=("GROW", "CUT")),
            Head("what", ("a", "b", "c"), neutral=2, ops=("GROW",), entropy_weight=1.3),
            Head("how", ("x", "y")),
        ),
        root="op",
        slot="slot",
    )


def test_the_causal_table_has_one_column_per_head() -> None:
    spec = make_spec()
    table = {name: spec.relevance(name) for name in spec.names}
    assert table == {
        "op": (True, True, True),
        "slot": (False, True, True),
        "what": (False, True, False),
        "how": (True, True, True),
    }


def test_names_sizes_and_operations_are_derived() -> None:
    spec = make_spec()
    assert spec.names == ("op", "slot", "what", "how")
    assert spec.sizes == {"op": 3, "slot": 2, "what": 3, "how": 2}
    assert spec.ops == OPS
    assert [head.name for head in spec.children] == ["slot", "what", "how"]
    assert spec.op_index("CUT") == 2
    assert spec.head("what").neutral == 2


def test_a_table_without_a_root_has_no_operations() -> None:
    spec = ActionSpec((Head("left", ("a",)), Head("right", ("b", "c"))))
    assert (spec.ops, spec.relevance("right"), spec.children) == ((), (), spec.heads)


def test_unknown_names() -> None:
    with pytest.raises(KeyError, match="heads are op, slot, what, how"):
        make_spec().head("style")
    with pytest.raises(ValueError, match=r"tuple\.index"):
        make_spec().op_index("JUMP")


def test_sequences_become_tuples_so_that_specs_are_hashable() -> None:
    spec = ActionSpec([Head("op", ["WAIT"])], root="op")  # type: ignore[arg-type]
    assert spec.heads[0].labels == ("WAIT",)
    assert hash(spec) == hash(ActionSpec((Head("op", ("WAIT",)),), root="op"))


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
    ],
)
def test_impossible_tables(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


def test_the_digest_follows_the_meaning() -> None:
    spec = make_spec()
    assert spec.digest == make_spec().digest
    assert len(spec.digest) == 16
    renamed = evolve(spec.heads[3], labels=("x", "z"))
    assert evolve(spec, heads=(*spec.heads[:3], renamed)).digest != spec.digest
    assert evolve(spec, slot=None).digest != spec.digest
