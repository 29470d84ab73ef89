"""The random streams that Python, numpy and torch keep for a whole process.

Nothing of esper draws from them, but a plugin may.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int) -> None:
    """Start every stream of this process from one seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return where the streams are: tensors, and a JSON-able table of what is no tensor.

    The stream of a GPU is there when `device` is one.
    """
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
    return tensors, {"python": {"gauss": gauss}, "numpy": numpy}


def set_random_state(tensors: dict[str, Tensor], rest: dict[str, Any], device: torch.device) -> None:
    """Continue where `random_state` was taken; a GPU's stream only where both have one."""
    torch.set_rng_state(tensors["torch"])
    random.setstate((3, tuple(tensors["python"].tolist()), rest["python"]["gauss"]))
    numpy = rest["numpy"]
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, numpy["pos"], numpy["has_gauss"], numpy["gauss"]))
    if device.type == "cuda" and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"], device)
