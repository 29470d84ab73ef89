"""Feature schemas and state tables: what is derived from them."""

from __future__ import annotations

import pytest
from attrs import evolve

from esper_core import Feature, FeatureSchema, IndexField, StateField, StateSpec


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
    changes = ({"num_slots": 3}, {"base": SCHEMA.base[::-1]}, {"base": base}, {"indices": (IndexField("kind", 2, 14),)})
    assert len({SCHEMA.digest, evolve(SCHEMA).digest, *(evolve(SCHEMA, **change).digest for change in changes)}) == 5


def test_state_tables_are_looked_up_by_name() -> None:
    loss = StateField("loss", ("E",), "float", "nats", "loss")
    spec = StateSpec([loss])  # type: ignore[arg-type]
    assert spec["loss"] is loss
    assert spec.names == ("loss",)
    with pytest.raises(KeyError, match="no state field 'los'"):
        spec["los"]
    for shape, dtype in ((("E",), "double"), ((), "int"), (("N", "E"), "int")):
        with pytest.raises(ValueError, match=r"not float, int or bool|first axis"):
            StateField("q", shape, dtype, "", "")
    assert StateField("q", ("E", "N", "O", 4), "float", "", "").sizes(2, 3, 6) == (2, 3, 6, 4)
