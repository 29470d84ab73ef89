import pytest
import torch

from esper_growth.config import SyntheticConfig
from esper_growth.tasks.synthetic import synthetic


def test_digits_are_split_once_for_all(make_context):
    task = make_context(samples=1000).parts["task"]
    assert [len(s.targets) for s in (task.train, task.validation, task.test)] == [1000, 400, 397]
    assert task.train.inputs.shape == (1000, 1, 8, 8)
    assert float(task.train.inputs.mean()) == pytest.approx(0, abs=1e-5)
    assert float(task.train.inputs.std()) == pytest.approx(1, abs=1e-2)
    counts = [torch.bincount(s.targets) / len(s.targets) for s in (task.train, task.validation, task.test)]
    assert all(float((c - counts[0]).abs().max()) < 0.01 for c in counts), "the splits are stratified"
    few = make_context(samples=100).parts["task"]
    assert len(few.train.targets) == 100 and few.name != task.name
    assert torch.equal(few.test.targets, task.test.targets)


@pytest.mark.parametrize("options", [{"samples": 10}, {"channels": 1}, {"size": 8}, {"classes": 4}, {"noise": 0.5}])
def test_synthetic_options_are_part_of_its_name(make_context, options):
    context = make_context()
    task = synthetic(SyntheticConfig(**options), context)
    assert task.name != synthetic(SyntheticConfig(), context).name
    shape = (options.get("samples", 256), options.get("channels", 3), *[options.get("size", 32)] * 2)
    assert task.train.inputs.shape == shape and task.classes == options.get("classes", 10)


def test_synthetic_images_can_be_learned(make_context):
    """A linear probe: far above the tenth that guessing gets."""
    task = synthetic(SyntheticConfig(), make_context())
    inputs = task.train.inputs.flatten(1)
    wanted = torch.nn.functional.one_hot(task.train.targets, 10).float()
    weight = inputs.T @ torch.linalg.solve(inputs @ inputs.T + 1000 * torch.eye(256), wanted)
    right = (task.validation.inputs.flatten(1) @ weight).argmax(1) == task.validation.targets
    assert float(right.float().mean()) > 0.5
