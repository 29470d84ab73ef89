"""The task `mnist1d`: what is drawn, and what each option does to it. How hard it is: benchmarks/mnist1d.py."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from esper_core.contracts.errors import UserError
from esper_growth.config import Mnist1dConfig
from esper_growth.tasks import mnist1d as module
from esper_growth.tasks.mnist1d import draw, mnist1d


@pytest.fixture
def make(make_context):
    context = make_context()
    return lambda **options: mnist1d(Mnist1dConfig(**options), context)


@pytest.mark.parametrize("train_samples", [100, 3200])
def test_what_is_not_trained_on_has_no_part_in_the_standard(make, monkeypatch, train_samples):
    task = make(train_samples=train_samples)
    assert [len(s.targets) for s in (task.train, task.validation, task.test)] == [train_samples, 800, 1000]
    assert task.train.inputs.shape == (train_samples, 1, 40) and task.classes == 10
    assert float(task.train.inputs.mean()) == pytest.approx(0, abs=1e-5)
    assert float(task.train.inputs.std(correction=0)) == pytest.approx(1, abs=1e-5)

    def other_rest(*arguments):
        curves, targets = draw(*arguments)
        curves[train_samples:] += 100
        return curves, targets

    monkeypatch.setattr(module, "draw", other_rest)
    assert torch.equal(make(train_samples=train_samples).train.inputs, task.train.inputs)


def test_fewer_training_samples_are_the_first_of_all_and_the_rest_stays(make):
    few, all_ = make(train_samples=100), make()

    def standard(task, split):
        return (split.inputs - task.train.inputs[:100].mean()) / task.train.inputs[:100].std(correction=0)

    for here, there in ((few.validation, all_.validation), (few.test, all_.test)):
        assert torch.equal(here.targets, there.targets)
        assert torch.allclose(here.inputs, standard(all_, there), atol=1e-5)
    assert torch.allclose(few.train.inputs, standard(all_, all_.train)[:100], atol=1e-5)
    with pytest.raises(UserError, match="more than 64"):
        make(samples=100, train_samples=65)


def test_shuffling_moves_positions_alike_in_all_samples(make):
    plain, shuffled = make().test.inputs[:, 0], make(shuffle=True).test.inputs[:, 0]
    same = (plain[:20, :, None] - shuffled[:20, None, :]).abs().amax(dim=0) < 1e-4
    assert same.sum(0).tolist() == [1] * 40 and same.sum(1).tolist() == [1] * 40
    assert not torch.equal(same, torch.eye(40, dtype=torch.bool))


def test_a_curve_without_disturbance_is_its_outline(monkeypatch):
    constants = {"SCALING": 0, "MOVES": 1, "JITTER": 0, "TILT": 0, "PADDING": (60, 60), "LENGTH": 72}
    for name, value in constants.items():
        monkeypatch.setattr(module, name, value)
    for curve, digit in zip(*draw(np.random.default_rng(0), 10, 0.0), strict=True):
        outline = module.OUTLINES[digit]
        assert np.allclose(curve[:12] / curve[:12].std(), outline / outline.std()) and not curve[12:].any()


def test_noise_surrounds_the_digit_and_leaves_it_alone():
    quiet, digits = draw(np.random.default_rng(0), 200, 0.0)
    loud, again = draw(np.random.default_rng(0), 200, 0.25)
    assert (digits == again).all()
    same = np.isclose(quiet, loud).mean(axis=1)
    assert same.min() > 0.1 and same.max() < 0.35, "twelve points of 48 to 72 are the digit"


@pytest.mark.slow
def test_known_models_do_as_well_as_is_published():
    script = Path(__file__).parents[3] / "benchmarks/mnist1d.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("plain") == done.stdout.count("shuffled") == 3
