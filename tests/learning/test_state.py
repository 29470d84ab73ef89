"""What is saved beside weights: the states of components that have one, and refusals that change nothing."""

import pytest
import torch

from esper_core.contracts.errors import CheckpointMismatch
from tests.learning.conftest import ResumableWorld, Seen, make, train


class Counting(Seen):
    """Features that drift with every look."""

    def __init__(self):
        self.looks = 0

    def __call__(self, state):
        self.looks += 1
        features = super().__call__(state)
        return features._replace(obs=features.obs + self.looks / 100)

    def state(self):
        return {"looks": self.looks}

    def load_state(self, state):
        self.looks = state["looks"]


def test_features_that_have_a_state_go_on_with_it():
    whole = make(features=Counting())
    train(whole, 2)
    saved = whole.state()
    assert saved.counters["parts"] == {"features": {"looks": 14}}
    expected = train(whole, 4)
    other = make(features=Counting())
    other.load_state(saved)
    assert train(other, 4) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.tensors.pop("normaliser"), "does not fit: KeyError: 'normaliser'"),
        (lambda s: s.tensors["normaliser"].pop("mean"), "KeyError: 'mean'"),
        (lambda s: s.counters.pop("random"), "KeyError: 'random'"),
        (
            lambda s: s.tensors["policy"].update({"network.heads.op.bias": torch.zeros(4)}),
            r"size mismatch for network\.heads\.op\.bias",
        ),
        (lambda s: s.counters["parts"].update(masks={"x": 1}), "KeyError: 'masks'"),
        (lambda s: s.tensors["optimiser"].update({"exp_avg.ghost": torch.zeros(2)}), "KeyError: 'ghost'"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, words):
    trainer, other = make(ResumableWorld()), make(ResumableWorld())
    train(trainer, 2)
    saved = trainer.state()
    change(saved)
    before = other.state()
    with pytest.raises(CheckpointMismatch, match=words):
        other.load_state(saved)
    after = other.state()
    assert after.counters == before.counters
    for group, table in before.tensors.items():
        assert all(torch.equal(value, after.tensors[group][name]) for name, value in table.items())
