"""The task `cifar10`: the 60,000 colour images of CIFAR-10, read from a directory that the user names.

The files are those of the "binary version", which need no unpickling: records of one label and 3,072 bytes, the red,
green and blue plane of 32×32 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import Build
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


def cifar10(config: Cifar10Config, context: Build) -> ClassificationTask:
    """Return the images, inputs `[S, 3, 32, 32]`, standardised per colour; the last tenth of training validates.

    Raises:
        UserError: files are missing, or are not what they should be.
    """
    folder = _folder(config.data_dir)
    records = [read_records(folder / name) for name in TRAIN_FILES]
    total = sum(len(part) for part in records)
    pool = total - round(VALIDATION_SHARE * total)
    kept = min(config.train_samples, pool)
    train = _rows(records, 0, kept)
    scaled = train[:, 1:].reshape(kept, SHAPE[0], -1) / 255.0
    mean, std = scaled.mean(axis=(0, 2)), scaled.std(axis=(0, 2))
    if not std.all():
        raise UserError(f"The training images in {folder} are all of one colour.", hint="Are these the right files?")

    def split(rows: Any) -> Split:
        pixels = rows[:, 1:].reshape(-1, *SHAPE) / 255.0
        inputs = torch.as_tensor((pixels - mean[:, None, None]) / std[:, None, None], dtype=context.dtype)
        targets = torch.as_tensor(rows[:, 0].astype(np.int64))
        return Split(inputs.to(context.device), targets.to(context.device))

    return ClassificationTask(
        name=f"cifar10-{kept}of{total}",
        classes=CLASSES,
        train=split(train),
        validation=split(_rows(records, pool, total)),
        test=split(read_records(folder / TEST_FILE)),
    )


def read_records(path: Path) -> Any:
    """Return the records of a file, uint8 `[S, 3073]`, without reading it yet.

    Raises:
        UserError: it is no file of whole records, or a label is none of the ten.
    """
    size = path.stat().st_size
    if not size or size % RECORD:
        raise UserError(
            f"{path} has {size} bytes, which is no whole number of records of {RECORD} bytes.",
            hint="Unpack the binary version of CIFAR-10 again.",
        )
    records = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, RECORD)
    if records[:, 0].max() >= CLASSES:
        raise UserError(f"{path} holds the label {records[:, 0].max()}, and CIFAR-10 has labels from 0 to 9.")
    return records


def _rows(parts: list[Any], first: int, last: int) -> Any:
    """Return rows `first` to `last` of all parts, one after the other; only these are read."""
    found, start = [], 0
    for part in parts:
        found.append(part[max(0, first - start) : max(0, last - start)])
        start += len(part)
    return np.concatenate(found)


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
