import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits


def test_digits_are_split_once_for_all(make_context):
    task, again = make_context(samples=1000).parts["task"], make_context(samples=1000).parts["task"]
    assert [len(s.targets) for s in (task.train, task.validation, task.test)] == [1000, 400, 397]
    assert torch.equal(task.test.inputs, again.test.inputs) and task.train.inputs.shape == (1000, 1, 8, 8)
    assert float(task.train.inputs.mean()) == pytest.approx(0, abs=1e-5)
    assert float(task.train.inputs.std()) == pytest.approx(1, abs=1e-2)


def test_every_image_is_in_exactly_one_split(make_context):
    task = make_context(samples=1000).parts["task"]
    splits = [s.inputs.flatten(1) for s in (task.train, task.validation, task.test)]
    rows = torch.cat(splits)
    pixels, _ = load_digits(return_X_y=True)
    assert len(rows) == len(pixels)
    ours = np.unique(rows.numpy().round(4), axis=0)
    assert len(ours) == len(np.unique(pixels, axis=0))
    counts = [
        torch.bincount(s.targets, minlength=10) / len(s.targets) for s in (task.train, task.validation, task.test)
    ]
    assert all(float((c - counts[0]).abs().max()) < 0.01 for c in counts), "the splits are stratified"


def test_fewer_training_samples_leave_the_other_splits_alone(make_context):
    few, all_ = make_context(samples=100).parts["task"], make_context(samples=1000).parts["task"]
    assert len(few.train.targets) == 100 and few.name != all_.name
    assert torch.equal(few.test.targets, all_.test.targets)
