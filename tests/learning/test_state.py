"""What is saved beside weights: the states of components that have one, and refusals that change nothing."""

import pytest
import torch

from esper_core.contracts.errors import CheckpointMismatch
from tests.learning.conftest import ResumableWorld, make, train


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
