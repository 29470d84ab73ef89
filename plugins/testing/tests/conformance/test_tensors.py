"""How checks compare: what differs is named, and what is equal passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from esper_core.contracts.protocols import Values
from esper_testing.conformance import tensors

ONE = torch.ones(2)


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        ({"a": Values(ONE + 0.5, ONE, None)}, {"a": Values(ONE, ONE, None)}, "it: a.value differs by 0.5"),
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
