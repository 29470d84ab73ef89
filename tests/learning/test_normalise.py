import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esper_core.learning.normalise import SMALLEST_STD, ReturnNormaliser


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=9), min_size=1, max_size=5))
def test_merging_parts_equals_seeing_everything(parts):
    normaliser = ReturnNormaliser()
    for part in parts:
        normaliser.merge(torch.tensor(part))
    everything = torch.tensor([x for part in parts for x in part]).double()
    assert normaliser.mean == pytest.approx(float(everything.mean()), abs=1e-6)
    assert normaliser.std == pytest.approx(max(float(everything.std(correction=0)), SMALLEST_STD), abs=1e-4)


def test_normalising_and_back():
    normaliser = ReturnNormaliser()
    normaliser.merge(torch.tensor([1.0, 3.0]))
    assert normaliser.normalise(torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-1, 0, 1])
    assert float(normaliser.denormalise(normaliser.normalise(torch.tensor(7.0)))) == pytest.approx(7.0)


def test_disabled_statistics_never_move():
    normaliser = ReturnNormaliser(enabled=False)
    normaliser.merge(torch.tensor([5.0, 9.0]))
    assert (normaliser.mean, normaliser.std) == (0.0, 1.0)


def test_equal_returns_leave_a_small_positive_std():
    normaliser = ReturnNormaliser()
    normaliser.merge(torch.full((4,), 2.0))
    assert normaliser.std == SMALLEST_STD


def test_state_makes_the_round_trip():
    normaliser, other = ReturnNormaliser(), ReturnNormaliser()
    normaliser.merge(torch.tensor([1.0, 2.0, 4.0]))
    other.load_state(normaliser.state())
    assert other == normaliser
