"""What is known of any number of slots, in as many numbers whatever that is."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SlotPool(nn.Module):
    """Mean, maximum and attention over slots, side by side, and how much attention they are worth.

    There is no sum, which would grow with the number of slots: as many again, all the same, change nothing. What they
    are worth is the logarithm of the mean of exp(score). With a single slot the query is learned from that alone.

    Args:
        slot_dim: Numbers per slot, M.
        query_dim: Numbers from which the query of attention is made.
    """

    def __init__(self, slot_dim: int, query_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_dim, slot_dim, bias=False)
        nn.init.orthogonal_(self.query.weight)
        self.out_features = 3 * slot_dim + 1

    def forward(self, slots: Tensor, asking: Tensor, present: Tensor | None) -> Tensor:
        """Pool `slots [..., N, M]`, asked for by `asking [..., Q]`: `[..., 3·M + 1]`.

        Where `present`, bool `[..., N]`, is false there is no slot. Where that would leave none, all are.
        """
        scores = (slots @ self.query(asking).unsqueeze(-1)).squeeze(-1) / math.sqrt(slots.shape[-1])
        count: Tensor | int = slots.shape[-2]
        largest = slots
        if present is not None:
            there = (present | ~present.any(-1, keepdim=True)).unsqueeze(-1)
            # Chosen, not multiplied: of padding nothing is known, not even that it is finite.
            slots, largest = torch.where(there, slots, 0), torch.where(there, slots, torch.finfo(slots.dtype).min)
            scores = torch.where(there.squeeze(-1), scores, torch.finfo(scores.dtype).min)
            count = there.sum(-2)
        weights = scores.softmax(-1).unsqueeze(-2)
        worth = scores.logsumexp(-1, keepdim=True) - (count.log() if isinstance(count, Tensor) else math.log(count))
        return torch.cat([slots.sum(-2) / count, largest.amax(-2), (weights @ slots).squeeze(-2), worth], dim=-1)
