"""What the next update depends on, as tensors and plain numbers."""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import torch
from attrs import field, frozen
from torch import Tensor, nn

from esper_core.learning.normalise import ReturnNormaliser

Tensors = dict[str, Tensor]

FIT = "Use the components, the slots and the plugin versions that the checkpoint was written with."


@runtime_checkable
class Resumable(Protocol):
    """Environment, features, masks or loss that can say, as a table, what the next update depends on.

    The table is made of None, booleans, numbers, strings, lists, tuples and tables whose keys are strings, which a
    checkpoint keeps exactly. For an environment it is whatever its next reset depends on, and for one that restarts
    rows also whatever its next step does: it may be saved in the middle of episodes. Where it cannot go on in these,
    `load_state` raises `esper_core.contracts.errors.EpisodesLost`.
    """

    def state(self) -> dict[str, Any]:
        """Return what the next update depends on."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue where `state()` was taken."""
        ...


@frozen
class TrainerState:
    """Everything that the next update depends on.

    `tensors` are flat tables of tensors on the CPU by group: 'policy', 'optimiser', 'normaliser', 'rng', and 'episodes'
    where a run goes on in the middle of these. `counters` are JSON-able; `parts` among them holds, by kind, the states
    of those that are `Resumable`.
    """

    tensors: dict[str, dict[str, Tensor]]
    counters: dict[str, Any] = field(factory=dict)


@frozen
class Learned:
    """What learning changes."""

    policy: nn.Module
    optimiser: torch.optim.Optimizer
    normaliser: ReturnNormaliser

    def copy(self) -> dict[str, Tensors]:
        """Return a copy on the CPU: the groups 'policy', 'optimiser' (`<moment>.<parameter>`) and 'normaliser'."""
        moments = {
            f"{moment}.{name}": _copy(value)
            for name, parameter in self.policy.named_parameters()
            for moment, value in self.optimiser.state.get(parameter, {}).items()
        }
        policy = {name: _copy(value) for name, value in self.policy.state_dict().items()}
        return {"policy": policy, "optimiser": moments, "normaliser": self.normaliser.state()}

    def restore(self, copy: dict[str, Tensors]) -> None:
        """Return to what `copy()` returned, which is copied again."""
        self.policy.load_state_dict(copy["policy"])
        parameters = dict(self.policy.named_parameters())
        self.optimiser.state.clear()
        for key, value in copy["optimiser"].items():
            moment, _, name = key.partition(".")
            # Adam keeps its step count on the CPU.
            device = "cpu" if moment == "step" else parameters[name].device
            self.optimiser.state[parameters[name]][moment] = value.to(device, copy=True)
        self.normaliser.load_state(copy["normaliser"])

    def is_finite(self) -> bool:
        """Return whether every weight and every moment is a finite number."""
        values = [value for entries in self.optimiser.state.values() for value in entries.values()]
        values += self.policy.parameters()
        with torch.no_grad():
            sizes = torch._foreach_norm(values)
        # A norm that is finite has no other number in it; one that is not may be no more than too large.
        return all(
            math.isfinite(size) or bool(value.isfinite().all()) for value, size in zip(values, sizes, strict=True)
        )


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()
