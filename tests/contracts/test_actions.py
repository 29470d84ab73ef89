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
    ],
)
def test_impossible_tables(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


def test_the_digest_follows_the_meaning() -> None:
    spec = make_spec()
    assert spec.digest == make_spec().digest and len(spec.digest) == 16
    renamed = evolve(spec.heads[3], labels=("x", "z"))
    assert evolve(spec, heads=(*spec.heads[:3], renamed)).digest != spec.digest
    assert evolve(spec, slot=None).digest != spec.digest
