"""The task `digits`: scikit-learn's 1,797 images of handwritten digits, 8×8 pixels in 17 grey levels."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from esper_core.contracts.protocols import BuildContext
from esper_growth.config import DigitsConfig
from esper_growth.protocols import Split
from esper_growth.tasks.classification import ClassificationTask

TRAIN, VALIDATION, TEST = 1000, 400, 397


def digits(config: DigitsConfig, context: BuildContext) -> ClassificationTask:
    """Return the digits with a fixed stratified split of 1,000 / 400 / 397; inputs `[S, 1, 8, 8]`, standardised."""
    pixels, labels = load_digits(return_X_y=True)
    rest, test, rest_labels, test_labels = train_test_split(
        pixels, labels, test_size=TEST, stratify=labels, random_state=0
    )
    train, validation, train_labels, validation_labels = train_test_split(
        rest, rest_labels, test_size=VALIDATION, stratify=rest_labels, random_state=0
    )
    order = np.random.default_rng(config.seed).permutation(TRAIN) if config.seed else np.arange(TRAIN)
    kept = np.sort(order[: config.train_samples])
    train, train_labels = train[kept], train_labels[kept]
    mean, std = train.mean(), train.std()

    def split(inputs: object, targets: object) -> Split:
        images = torch.as_tensor((inputs - mean) / std, dtype=context.dtype).reshape(-1, 1, 8, 8)
        return Split(images.to(context.device), torch.as_tensor(targets, dtype=torch.int64).to(context.device))

    return ClassificationTask(
        name=f"digits-{config.train_samples}s{config.seed}",
        classes=10,
        train=split(train, train_labels),
        validation=split(validation, validation_labels),
        test=split(test, test_labels),
        label=f"digits-{config.train_samples}",
    )
