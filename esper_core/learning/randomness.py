"""The random streams that Python, numpy and torch keep for a whole process.

Nothing of esper draws from them, but a plugin may.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor


def seed_all(seed: int) -> None:
    """Start every stream of this process from one seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@frozen
class Streams:
    """Where the streams are.

    Attributes:
        tensors: `torch`, `python`, `numpy`, and `cuda` on a GPU.
        rest: What is no tensor, JSON-able.
    """

    tensors: dict[str, Tensor]
    rest: dict[str, Any]

    @classmethod
    def now(cls, device: torch.device) -> Streams:
        """Return where they are; the stream of a GPU is there when `device` is one."""
        _, words, gauss = random.getstate()
        state: Any = np.random.get_state(legacy=False)
        tensors = {
            "torch": torch.get_rng_state(),
            "python": torch.tensor(words, dtype=torch.int64),
            "numpy": torch.from_numpy(state["state"]["key"].astype(np.int64)),
        }
        if device.type == "cuda":
            tensors["cuda"] = torch.cuda.get_rng_state(device)
        numpy = {"pos": state["state"]["pos"], "has_gauss": state["has_gauss"], "gauss": state["gauss"]}
        return cls(tensors, {"python": {"gauss": gauss}, "numpy": numpy})

    def resume(self, device: torch.device) -> None:
        """Let the streams go on from here; a GPU's only where both have one."""
        torch.set_rng_state(self.tensors["torch"])
        random.setstate((3, tuple(self.tensors["python"].tolist()), self.rest["python"]["gauss"]))
        numpy = self.rest["numpy"]
        keys = self.tensors["numpy"].numpy().astype(np.uint32)
        np.random.set_state(("MT19937", keys, numpy["pos"], numpy["has_gauss"], numpy["gauss"]))
        if device.type == "cuda" and "cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["cuda"], device)
