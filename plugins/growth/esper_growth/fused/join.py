"""How seeds of one slot take part in the networks of their hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from esper_growth.actions import Algorithm
from esper_growth.fused.branches import evenly
from esper_growth.fused.stack import Stack


class Join(NamedTuple):
    """Seeds of one slot and blueprint that take part alike.

    Attributes:
        seeds: Their parameters.
        gates: Parameters of their gates, if they are blended by one.
        hosts: Positions along the host axis; None when they are all hosts in order.
        rows: Their rows in `seeds`; None when they are all rows in order.
        gate_rows: Their rows in `gates`.
        alpha: Amplitudes `[m]`.
        training: Straight-through, with the input detached.
        algorithm: How the branch joins.
        frozen: Parameters do not learn.
    """

    seeds: Stack
    gates: Stack | None
    hosts: Sequence[int] | None
    rows: Tensor | None
    gate_rows: Tensor | None
    alpha: Tensor
    training: bool
    algorithm: Algorithm
    frozen: bool

    @property
    def amount(self) -> Tensor | None:
        """Amplitudes `[m]`; None while training, when alpha is 0 and the gradient that of full amplitude."""
        return None if self.training else self.alpha

    def branch(self, h: Tensor, spatial: torch.Size) -> Tensor:
        """Return f `[B, m, C·S]` of the activations `h [B, m, C·S]`."""
        batch, m = h.shape[:2]
        inputs = h.reshape(batch, -1, *spatial)
        return self.seeds.folded(inputs, self.seeds.select(self.rows, detached=self.frozen), m).reshape(batch, m, -1)

    def blend(self, capped: Tensor, h: Tensor, spatial: torch.Size) -> Tensor:
        """Return alpha·c for a branch `[B, m, C·S]` that is capped, joined by multiplication or by a gate."""
        batch, m = h.shape[:2]
        if self.algorithm == Algorithm.MULTIPLY:
            return self._scaled(h) * evenly(torch.tanh, capped, m)
        assert self.algorithm == Algorithm.GATE and self.gates is not None, "a gated seed has a gate"
        values = self.gates.select(self.gate_rows, detached=self.frozen)
        gate = self.gates.folded(h.reshape(batch, -1, *spatial), values, m).reshape(batch, m, 1)
        return self._scaled(gate) * capped

    def _scaled(self, value: Tensor) -> Tensor:
        return value if self.amount is None else value * self.amount.view(1, -1, 1)
