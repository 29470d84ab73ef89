import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esper_growth import reward
from esper_growth.stages import Stage


def test_rent_is_the_logarithm_of_growth():
    alpha = torch.tensor([[0.5, 1.0], [0.0, 0.0]])
    parameters = torch.tensor([[1000, 300], [5000, 5000]])
    paid = reward.rent(alpha, parameters, 800, price=0.02, epochs=40)
    assert paid.tolist() == pytest.approx([-0.02 / 40 * math.log(1 + (500 + 300) / 800), 0.0])


def test_potential_sums_over_all_slots():
    stage = torch.tensor([[Stage.TRAINING, Stage.BLENDING, Stage.HOLDING, Stage.FOSSILIZED, Stage.FOSSILIZED]])
    assert float(reward.potential(stage, 0.02)) == pytest.approx(0.02 * (0.2 + 0.5 + 0.7 + 2.0))
    empty = torch.tensor([[Stage.DORMANT, Stage.GERMINATED, Stage.PRUNED, Stage.EMBARGOED, Stage.RESETTING]])
    assert float(reward.potential(empty, 0.02)) == 0.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.9, 1.0))
def test_shaping_telescopes_to_nothing(potentials, gamma):
    phi = [0.0, *potentials]
    total = 0.0
    for t, before in enumerate(phi):
        last = t == len(phi) - 1
        after = 123.0 if last else phi[t + 1]
        step = reward.shaping(torch.tensor(before).double(), torch.tensor(after).double(), torch.tensor(last), gamma)
        total += gamma**t * float(step)
    assert total == pytest.approx(0.0, abs=1e-6)
