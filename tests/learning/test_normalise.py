import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_core.learning.normalise import ReturnNormaliser


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=9), min_size=1, max_size=5))
def test_merging_parts_equals_seeing_everything(parts):
    normaliser = ReturnNormaliser()
    for part in parts:
        normaliser.merge(torch.tensor(part))
    everything = torch.tensor([x for part in parts for x in part]).double()
    assert normaliser.mean == pytest.approx(float(everything.mean()), abs=1e-6)
    assert normaliser.spread == pytest.approx(float(everything.std(correction=0)), abs=1e-4)


def test_normalising_and_back():
    normaliser = ReturnNormaliser()
    normaliser.merge(torch.tensor([1.0, 3.0]))
    assert normaliser.normalise(torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-1, 0, 1])
    assert float(normaliser.denormalise(normaliser.normalise(torch.tensor(7.0)))) == pytest.approx(7.0)


def test_disabled_the_critic_predicts_in_units_of_reward_and_the_spread_is_known_all_the_same():
    normaliser = ReturnNormaliser(enabled=False)
    normaliser.merge(torch.tensor([5.0, 9.0]))
    assert (normaliser.offset, normaliser.unit, normaliser.spread) == (0.0, 1.0, 2.0)


@pytest.mark.parametrize("value", [0.0, 0.1, -2.0, 1e-6, 1e9])
def test_equal_returns_have_no_spread(value):
    """Neither have those that differ by what float32 rounds."""
    normaliser = ReturnNormaliser()
    for equal in ([1.0] * 3, [1.0, 1.0 + 1e-7], [1.0]):
        normaliser.merge(value * torch.tensor(equal, dtype=torch.float64))
        assert (normaliser.spread, normaliser.unit) == (0.0, 1.0)
        assert normaliser.offset == pytest.approx(value)
    normaliser.merge(torch.tensor([value + 1e-3 * (abs(value) or 1.0)]))
    assert normaliser.unit == normaliser.spread > 0
