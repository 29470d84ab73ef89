"""Where the episodes are in the middle of which a rollout ended, and the next one goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.protocols import State
from esper_core.contracts.tensors import leaves


@frozen
class Episodes:
    """What the next step depends on, beside environment and policy.

    Attributes:
        state: The published state that was seen last.
        recurrent: The recurrent state after the last step, `[·, E, …]`; None for a policy that remembers nothing.
        ended: Rows that have ended and were not started anew, bool `[E]`.
        returns: Rewards of the episodes so far, float64 `[E]`.
        privileged: What critics alone were told last, `[E, P]`; None where they are told nothing.
    """

    state: State
    recurrent: Any
    ended: NDArray[np.bool_]
    returns: NDArray[np.float64]
    privileged: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return a copy of its tensors on the CPU, for `restored`."""
        told = {"ended": torch.tensor(self.ended), "returns": torch.tensor(self.returns)}
        return told | {name: value.detach().to("cpu", copy=True).contiguous() for name, value in leaves(self).items()}

    @classmethod
    def restored(cls, saved: dict[str, Tensor], initial: Any, like: Tensor) -> Episodes:
        """Return what `tensors()` were made of, on the device of `like [E]`; `initial` is a recurrent state.

        Raises LookupError or ValueError where they do not fit.
        """
        found = {name: value.to(like.device, copy=True) for name, value in saved.items()}
        state = {name.removeprefix("state."): value for name, value in found.items() if name.startswith("state.")}
        recurrent = initial
        if initial is not None:
            recurrent = type(initial)._make(found[f"recurrent.{name}"] for name in initial._fields)
            for name, value, expected in zip(initial._fields, recurrent, initial, strict=True):
                if value.shape != expected.shape:
                    raise ValueError(f"the recurrent {name} is {list(value.shape)}, not {list(expected.shape)}")
        ended, returns = (saved[name].numpy().copy() for name in ("ended", "returns"))
        if ended.shape != like.shape:
            raise ValueError(f"there are {len(ended)} rows, not {len(like)}")
        return cls(state, recurrent, ended, returns, found.get("privileged"))
