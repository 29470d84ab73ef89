"""Random streams: those of a run, and those that Python, numpy and torch keep for a whole process.

Nothing of esper draws from the latter, but a plugin may.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

NUMPY = ("pos", "has_gauss", "gauss")
"""What numpy's stream has beside its words."""


def seed_all(seed: int) -> None:
    """Start every stream of this process from one seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@frozen
class ProcessStreams:
    """Where the streams of this process are: `torch`, `python`, `numpy`, `cuda` on a GPU, and a JSON-able rest."""

    tensors: dict[str, Tensor]
    rest: dict[str, Any]

    @classmethod
    def now(cls, device: torch.device) -> ProcessStreams:
        """Return where they are; the stream of a GPU is there when `device` is one."""
        _, words, gauss = random.getstate()
        _, keys, *numpy = np.random.get_state()
        tensors = {"torch": torch.get_rng_state(), "python": torch.tensor(words, dtype=torch.int64)}
        tensors["numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
        if device.type == "cuda":
            tensors["cuda"] = torch.cuda.get_rng_state(device)
        rest = {"python": {"gauss": gauss}, "numpy": dict(zip(NUMPY, numpy, strict=True))}
        return cls(tensors, rest)

    def resume(self, device: torch.device) -> None:
        """Let the streams go on from here; a GPU's only where both have one."""
        torch.set_rng_state(self.tensors["torch"])
        random.setstate((3, tuple(self.tensors["python"].tolist()), self.rest["python"]["gauss"]))
        numpy = (self.rest["numpy"][name] for name in NUMPY)
        np.random.set_state(("MT19937", self.tensors["numpy"].numpy().astype(np.uint32), *numpy))
        if device.type == "cuda" and "cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["cuda"], device)


class RunStreams:
    """The streams of a run: one each for `sampling` actions and `shuffling` minibatches, so that none shifts another.

    They are on the CPU, so that a saved run can be resumed on any device.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        seeds = torch.randint(2**31, (3,), generator=torch.Generator().manual_seed(seed)).tolist()
        self.sampling = torch.Generator().manual_seed(seeds[0])
        self.shuffling = torch.Generator().manual_seed(seeds[1])
        self.environment_seed: int = seeds[2]
        self._device = device
        self._process = ProcessStreams.now(device)

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Resume the process's streams where the last update left them: observers may draw numbers between updates."""
        self._process.resume(self._device)
        yield
        self._process = ProcessStreams.now(self._device)

    def episode_seed(self, update: int) -> int:
        """Return a seed for the episodes of one update, that depends on nothing before it."""
        mixed = torch.Generator().manual_seed(self.environment_seed + update)
        return int(torch.randint(2**31, (1,), generator=mixed))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return where all streams are: tensors, and what is JSON-able."""
        own = {"sampling": self.sampling.get_state(), "shuffling": self.shuffling.get_state()}
        return {**own, **self._process.tensors}, dict(self._process.rest)

    def load_state(self, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Continue from `state()`, which is copied."""
        self.sampling.set_state(tensors["sampling"])
        self.shuffling.set_state(tensors["shuffling"])
        self._process = ProcessStreams({name: value.clone() for name, value in tensors.items()}, dict(rest))
