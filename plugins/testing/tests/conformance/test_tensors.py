"""How checks compare: what differs is named, and what is equal passes."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from attrs import frozen
from torch import Tensor

from esper_testing.conformance import tensors


class Pair(NamedTuple):
    left: Tensor
    right: Tensor | None


@frozen
class Box:
    pair: Pair
    table: dict[str, Tensor]
    note: str = "no tensor"


def box(value: float = 1.0) -> Box:
    return Box(Pair(torch.full((2,), value), None), {"a": torch.arange(3)})


def test_tensors_are_found_by_name_and_changed_in_place_of_the_old() -> None:
    assert list(tensors.leaves(box())) == ["pair.left", "table.a"]
    doubled = tensors.mapped(box(), lambda value: 2 * value)
    assert doubled.pair.left.tolist() == [2, 2] and doubled.table["a"].tolist() == [0, 2, 4]
    assert (doubled.pair.right, doubled.note, type(doubled.pair)) == (None, "no tensor", Pair)
    assert tensors.cut(box(), slice(0, 1)).table["a"].tolist() == [0]


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        (box(1.5), box(), "it: pair.left differs by 0.5"),
        (torch.zeros(2), torch.zeros(3), r"it is \(2,\), not \(3,\)"),
        ({"a": torch.zeros(1)}, {"b": torch.zeros(1)}, "it: there are a, not b"),
        (torch.tensor([torch.nan]), torch.zeros(1), "it differs and not all of it is finite"),
    ],
)
def test_what_differs_is_named(found: Any, expected: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=f"^{message}$"):
        tensors.assert_same(found, expected, "it", 0.1)


def test_what_is_the_same_passes() -> None:
    tensors.assert_same(box(), box(), "it")
    tensors.assert_same(torch.tensor([torch.nan, torch.inf]), torch.tensor([torch.nan, torch.inf]), "it")
    tensors.assert_same(torch.tensor(100.0), torch.tensor(100.5), "it", 0.01)
    with pytest.raises(AssertionError):
        tensors.assert_same(torch.tensor(1.0), torch.tensor(1.0 + 1e-7), "it")


def test_changes_in_place_are_noticed() -> None:
    value = torch.zeros(2)
    with pytest.raises(AssertionError, match="it differs by 1"), tensors.unchanged(value, "it"):
        value[0] = 1
