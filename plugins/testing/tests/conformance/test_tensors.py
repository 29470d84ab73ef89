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


def test_changes_in_place_are_noticed() -> None:
    value = torch.zeros(2)
    with pytest.raises(AssertionError, match="it differs by 1"), tensors.unchanged(value, "it"):
        value[0] = 1
