"""What growth tells critics alone: what becomes of the host when nothing is grown, and what kind of world it is.

Importing this module imports no torch: the environment's description names what is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from esper_growth.instance_weights import kind_of

if TYPE_CHECKING:
    from torch import Tensor

AHEAD = (1, 3, 5, 10, 20)
"""Epochs ahead of which the static curve is told."""

SIGNS = 8
"""Signs that tell kinds of world apart."""

MEANINGS: Mapping[str, str] = {
    "static_final": "validation accuracy of the static host after the last epoch, from -1 to 1",
    **{f"static_ahead_{k}": f"the same {k} epochs ahead, at most at the end" for k in AHEAD},
    "static_left": "what the static host still gains until the end, a fraction",
    **{
        f"kind_{sign}": "sign that follows from the names of task and host without their sizes" for sign in range(SIGNS)
    },
}


def signs(task: str, host: str) -> list[float]:
    """Return the signs of a kind of world, each −1 or 1."""
    digest = hashlib.blake2b(" ".join(kind_of(task, host)).encode(), digest_size=1).digest()[0]
    return [1.0 if digest >> bit & 1 else -1.0 for bit in range(SIGNS)]


class Privileged:
    """What is known of the instances of some rows.

    Args:
        curves: Static accuracies after every epoch, one row per environment.
        names: Names of task and host.
        device: Where it is published.
    """

    def __init__(self, curves: Sequence[Sequence[float]], names: Sequence[tuple[str, str]], device: str) -> None:
        import torch

        self._curves = torch.tensor(curves, dtype=torch.float64)
        self._kinds = torch.tensor([signs(*pair) for pair in names], dtype=torch.float64)
        self._device = device

    def at(self, epoch: Tensor) -> Tensor:
        """Return what is told after so many epochs, int64 `[E]`: float32 `[E, P]`, in the order of `MEANINGS`."""
        import torch

        last = self._curves.shape[1]
        # After epoch n the curve has its entry n − 1; of an untrained host there is none.
        ahead = torch.stack([(epoch + k).clamp(1, last) - 1 for k in (last, *AHEAD, 0)], dim=1)
        found = self._curves.gather(1, ahead)
        told = [2 * found[:, :-1] - 1, found[:, :1] - found[:, -1:], self._kinds]
        return torch.cat(told, dim=1).to(self._device, torch.float32)
