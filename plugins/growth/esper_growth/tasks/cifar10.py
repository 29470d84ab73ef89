"""The task `cifar10`: the 60,000 colour images of CIFAR-10, read from a directory that the user names.

The files are those of the "binary version", which need no unpickling: records of one label and 3,072 bytes, the red,
green and blue plane of 32×32 pixels.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import BuildContext
from esper_growth.config import Cifar10Config
from esper_growth.protocols import Split
from esper_growth.tasks.classification import ClassificationTask

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
FOLDER = "cifar-10-batches-bin"
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
CLASSES = 10
VALIDATION_SHARE = 0.1


def cifar10(config: Cifar10Config, context: BuildContext) -> ClassificationTask:
    """Return the images, inputs `[S, 3, 32, 32]`, standardised per colour; the last tenth of training validates.

    Raises:
        UserError: files are missing, or are not what they should be.
    """
    folder = _folder(config.data_dir)
    records = np.concatenate([read_records(folder / name) for name in TRAIN_FILES])
    total = len(records)
    pool = total - round(VALIDATION_SHARE * total)
    kept = min(config.train_samples, pool)
    train, validation = records[:kept], records[pool:]
    test = read_records(folder / TEST_FILE)
    mean, std = _moments(train)
    if not all(std):
        raise UserError(f"The training images in {folder} are all of one colour.", hint="Are these the right files?")

    def split(rows: Any) -> Split:
        # Written over in place: the whole of CIFAR-10 is 700 MB in float32, and a second copy may not fit.
        inputs = torch.from_numpy(rows[:, 1:].copy()).view(-1, *SHAPE).to(context.dtype)
        for colour in range(SHAPE[0]):
            inputs[:, colour].sub_(mean[colour]).div_(std[colour])
        targets = torch.from_numpy(rows[:, 0].astype(np.int64))
        return Split(inputs.to(context.device), targets.to(context.device))

    return ClassificationTask(
        name=f"cifar10-{kept}of{total}-{_digest(train, validation, test)}",
        classes=CLASSES,
        train=split(train),
        validation=split(validation),
        test=split(test),
    )


def read_records(path: Path) -> Any:
    """Return the records of a file, uint8 `[S, 3073]`, without reading it yet.

    Raises:
        UserError: it is no file of whole records, or a label is none of the ten.
    """
    size = path.stat().st_size
    if not size or size % RECORD:
        raise UserError(
            f"{path} has {size} bytes, which is not a whole number of records of {RECORD} bytes.",
            hint="Unpack the binary version of CIFAR-10 again.",
        )
    records = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, RECORD)
    if records[:, 0].max() >= CLASSES:
        raise UserError(f"{path} holds the label {records[:, 0].max()}, and CIFAR-10 has labels from 0 to 9.")
    return records


def example(folder: Path) -> dict[str, Any]:
    """Write images of noise in the format of CIFAR-10, twenty to a file, and return the options that read them."""
    random = np.random.default_rng(0)
    for name in (*TRAIN_FILES, TEST_FILE):
        records = random.integers(0, 256, size=(2 * CLASSES, RECORD), dtype=np.uint8)
        records[:, 0] = np.arange(2 * CLASSES) % CLASSES
        records.tofile(folder / name)
    return {"data_dir": str(folder), "train_samples": 64}


def _digest(*parts: Any) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:8]


def _moments(rows: Any) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each colour's values, from 0 to 255."""
    values = np.arange(256, dtype=np.float64)
    planes = rows[:, 1:].reshape(len(rows), SHAPE[0], -1)
    means, stds = [], []
    for colour in range(SHAPE[0]):
        share = np.bincount(planes[:, colour].ravel(), minlength=256) / planes[:, colour].size
        means.append(float(share @ values))
        stds.append(float(np.sqrt(share @ (values - means[-1]) ** 2)))
    return means, stds


def _folder(data_dir: str) -> Path:
    """Return where the files lie: in the directory, or in its folder as it is unpacked."""
    wanted = (*TRAIN_FILES, TEST_FILE)
    if not data_dir:
        raise UserError(
            f"The task cifar10 needs the directory of its files: {', '.join(wanted)}.",
            hint="Unpack the binary version of CIFAR-10 and name it: -o task.data_dir=DIRECTORY",
        )
    folders = [Path(data_dir).expanduser(), Path(data_dir).expanduser() / FOLDER]
    missing = {folder: [name for name in wanted if not (folder / name).is_file()] for folder in folders}
    for folder, names in missing.items():
        if not names:
            return folder
    best = min(folders, key=lambda folder: len(missing[folder]))
    raise UserError(
        f"CIFAR-10's files {', '.join(missing[best])} were not found in {best}.",
        hint=f"Looked in {folders[0]} and {folders[1]} for the binary version, {', '.join(wanted)}.",
    )
