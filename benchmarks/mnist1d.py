"""Whether the task `mnist1d` is as hard as MNIST-1D is said to be, and for the same models.

    python benchmarks/mnist1d.py

Trains the published models on several draws of the task, in order and shuffled: Adam at 0.01, batches of 100, 6,000
steps on all that is not for testing, test accuracy at the end. Exits with status 1 where the mean over draws, give or
take two standard errors, is more than 3 points off what Greydanus and Kobak (2024) report. Takes two to three minutes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable

import torch
from surroundings import surroundings
from torch import Tensor, nn
from torch.nn import functional

from esper_growth.config import Mnist1dConfig
from esper_growth.tasks.mnist1d import LENGTH, mnist1d

TOLERANCE = 0.03
BATCH, RATE = 100, 0.01


class Perceptron(nn.Module):
    """Two hidden layers of 100, the second around a shortcut: 15,210 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(LENGTH, 100), nn.Linear(100, 100), nn.Linear(100, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, 1, 40]` to logits `[B, 10]`."""
        h = torch.relu(self.first(x.flatten(1)))
        return self.last(h + torch.relu(self.second(h)))


def logistic() -> nn.Module:
    """Return a linear model: 410 parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(LENGTH, 10))


def convolutional() -> nn.Module:
    """Return three convolutions of 25 channels and stride 2, and a linear layer: 5,210 parameters."""
    layers: list[nn.Module] = []
    for inputs, kernel in ((1, 5), (25, 3), (25, 3)):
        layers += [nn.Conv1d(inputs, 25, kernel, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(125, 10))


MODELS: dict[str, tuple[Callable[[], nn.Module], float, float]] = {
    "logistic": (logistic, 0.32, 0.32),
    "MLP": (Perceptron, 0.68, 0.68),
    "CNN": (convolutional, 0.94, 0.56),
}
"""Model, and its published test accuracy in order and shuffled."""


def accuracy(make: Callable[[], nn.Module], config: Mnist1dConfig, steps: int) -> float:
    """Return the test accuracy of a model that is trained on one draw of the task."""
    task = mnist1d(config, surroundings(1, 1))
    parts = (task.train, task.validation)
    inputs, targets = torch.cat([p.inputs for p in parts]), torch.cat([p.targets for p in parts])
    torch.manual_seed(config.seed)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    for _ in range(steps):
        rows = torch.randint(len(targets), (BATCH,))
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        return float((model(task.test.inputs).argmax(1) == task.test.targets).double().mean())


def main() -> None:
    """Print one line per model and order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3, help="Draws of the task; two at least.")
    parser.add_argument("--first", type=int, default=4, help="Number of the first draw; those before were tuned on.")
    parser.add_argument("--steps", type=int, default=6000, help="Optimiser steps.")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    off = False
    print(f"{'model':10}{'order':10}{'published':>10}{'here':>7}  by draw")
    for shuffle in (False, True):
        for name, (make, *published) in MODELS.items():
            configs = [
                Mnist1dConfig(shuffle=shuffle, seed=draw) for draw in range(chosen.first, chosen.first + chosen.draws)
            ]
            found = [accuracy(make, config, chosen.steps) for config in configs]
            mean, wanted = statistics.mean(found), published[shuffle]
            error = statistics.stdev(found) / len(found) ** 0.5
            wrong = abs(mean - wanted) - 2 * error > TOLERANCE
            off |= wrong
            order, each = "shuffled" if shuffle else "plain", " ".join(f"{value:.3f}" for value in found)
            print(f"{name:10}{order:10}{wanted:10.2f}{mean:7.3f}  {each}{'  OFF' if wrong else ''}", flush=True)
    sys.exit(int(off))


if __name__ == "__main__":
    main()
