import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esper_growth.actions import Curve
from esper_growth.alpha import curve


def value(kind: Curve, t: float, steepness: float = 12.0) -> float:
    return float(curve(torch.tensor(kind), *torch.tensor([t, steepness], dtype=torch.float64)))


def test_closed_forms():
    sigma = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    assert value(Curve.LINEAR, 0.3) == pytest.approx(0.3)
    assert value(Curve.COSINE, 0.25) == pytest.approx((1 - math.cos(math.pi / 4)) / 2)
    expected = (sigma(6 * (0.7 - 0.5)) - sigma(-3)) / (sigma(3) - sigma(-3))
    assert value(Curve.SIGMOID, 0.7, 6.0) == pytest.approx(expected)


@given(st.sampled_from(list(Curve)), st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 30))
def test_every_curve_rises_from_zero_to_one(kind, a, b, steepness):
    low, high = sorted((a, b))
    assert value(kind, 0.0, steepness) == pytest.approx(0.0, abs=1e-12)
    assert value(kind, 1.0, steepness) == pytest.approx(1.0)
    assert value(kind, low, steepness) <= value(kind, high, steepness) + 1e-12
