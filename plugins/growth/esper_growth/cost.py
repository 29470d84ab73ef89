"""The cost of training a host, and the largest fall of its accuracy caused by growing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import define
from torch import Tensor

from esper_growth.problems import Problem
from esper_growth.runtime import Settings

BACKWARD = 2
"""Forward passes that a backward pass costs: one for the gradients of activations, one for those of weights."""


@define
class TrainingCost:
    """Counts, for every environment, float64 `[E]`.

    Attributes:
        flops: Floating-point operations of training so far, those of validation left out. Convolutions and matrix
            products are counted, as in `torch.utils.flop_counter`: of the host and of every seed that takes part, its
            gate included, forward and backward, for every sample of every epoch.
        added: Operations of the seeds alone, each host's in epochs of the bare host.
        shock: The largest fall of validation accuracy, a fraction, over an epoch before which a seed's share in its
            host changed, at once or by a step of a ramp: its alpha, or the blend at an alpha above 0.
    """

    flops: Tensor
    added: Tensor
    shock: Tensor

    @classmethod
    def none(cls, num_envs: int) -> TrainingCost:
        """Return the counts of hosts that have not been trained."""
        return cls(*(torch.zeros(num_envs, dtype=torch.float64) for _ in range(3)))

    def epoch(
        self, problems: Sequence[Problem], settings: Settings, labels: Sequence[Sequence[str]], active: Tensor
    ) -> Tensor:
        """Count an epoch of training the active environments, bool `[E]`; `labels` name the seed of every slot.

        Returns:
            What was added to `added`.
        """
        added = torch.zeros_like(self.flops)
        for env in active.nonzero().flatten().tolist():
            builder, samples = problems[env].builder, len(problems[env].task.train.targets)
            seeds = sum(
                builder.seed_flops(slot, labels[env][slot], setting.algorithm)
                for slot, setting in settings[env].items()
                if setting.in_forward
            )
            self.flops[env] += (1 + BACKWARD) * samples * (builder.host_flops + seeds)
            added[env] = seeds / builder.host_flops
        self.added += added
        return added

    def blend(self, moved: Tensor, before: Tensor, after: Tensor) -> None:
        """Record accuracies `[E]` around an epoch before which a seed's share changed in some hosts, bool `[E]`."""
        self.shock = torch.maximum(self.shock, torch.where(moved, before - after, 0.0).nan_to_num(0.0))
