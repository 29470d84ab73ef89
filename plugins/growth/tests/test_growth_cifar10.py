"""The task `cifar10`, on files of a few images in its format."""

import numpy as np
import pytest
import torch

from esper_core.contracts.errors import UserError
from esper_growth.config import Cifar10Config
from esper_growth.tasks.cifar10 import FOLDER, TEST_FILE, TRAIN_FILES, cifar10, example


@pytest.fixture
def folder(tmp_path):
    example(tmp_path)
    return tmp_path


@pytest.fixture
def make(make_context, folder):
    context = make_context()
    return lambda **options: cifar10(Cifar10Config(**{"data_dir": str(folder), **options}), context)


def test_images_are_read_as_they_were_written(folder, make):
    task = make()
    assert [len(s.targets) for s in (task.train, task.validation, task.test)] == [90, 10, 20]
    assert task.train.inputs.shape == (90, 3, 32, 32)
    raw = np.concatenate([np.fromfile(folder / name, dtype=np.uint8).reshape(-1, 3073) for name in TRAIN_FILES])
    assert task.train.targets.tolist() + task.validation.targets.tolist() == raw[:, 0].tolist()
    pixels = torch.tensor(raw[:90, 1:].reshape(90, 3, 32, 32), dtype=torch.float64)
    wanted = (pixels - pixels.mean((0, 2, 3), keepdim=True)) / pixels.std((0, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(task.train.inputs, wanted.float())


def test_the_folder_may_be_the_one_it_is_unpacked_into(folder, make):
    inner = folder / FOLDER
    inner.mkdir()
    for name in (*TRAIN_FILES, TEST_FILE):
        (folder / name).rename(inner / name)
    assert len(make().train.targets) == 90


def test_other_images_have_another_name(folder, make):
    before = make(train_samples=50)
    assert len(before.train.targets) == 50 and before.name != make().name
    path = folder / TRAIN_FILES[0]
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    assert make(train_samples=50).name != before.name


def test_missing_files_are_named(folder, make):
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(UserError, match=r"files data_batch_3\.bin were not found") as caught:
        make()
    assert FOLDER in caught.value.hint and TEST_FILE in caught.value.hint
    with pytest.raises(UserError, match=r"data_batch_1\.bin, .*test_batch\.bin"):
        make(data_dir="")


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "0 bytes"), (b"x" * 3074, "3074 bytes"), (b"\xff" * 3073, "label 255")]
)
def test_damaged_files_are_refused(folder, make, content, says):
    (folder / TRAIN_FILES[1]).write_bytes(content)
    with pytest.raises(UserError, match=says):
        make()
