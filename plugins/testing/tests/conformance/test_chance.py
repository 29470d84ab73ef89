"""Who draws random numbers is found out, and nobody's stream is moved by looking."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from esper_testing.conformance import chance


@pytest.mark.parametrize(
    ("draw", "source"), [(lambda: torch.rand(1), "torch"), (np.random.rand, "numpy"), (random.random, "Python")]
)
def test_draws_are_noticed_and_surroundings_restored(draw: Callable[[], Any], source: str) -> None:
    with chance.surroundings(0):
        with pytest.raises(AssertionError, match=source), chance.no_draws("it"):
            draw()
        first = draw()
    with chance.no_draws("surroundings"), chance.surroundings(0):
        draw()
        assert draw() == first
    with chance.no_draws("a generator of one's own"):
        torch.rand(1, generator=torch.Generator().manual_seed(0))


def test_what_answers_otherwise_the_second_time_is_not_repeatable() -> None:
    seen: list[float] = []

    def remembering() -> torch.Tensor:
        return torch.tensor(float(len(seen)))

    assert chance.assert_repeatable(remembering, lambda: None, "asking") == 0
    with pytest.raises(AssertionError, match="asking, twice the same"):
        chance.assert_repeatable(remembering, lambda: seen.append(0.0), "asking")
