"""Encoders of the suite observation: sets of contacts and of squad members, and what is known of oneself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from esper_core.contracts.precision import widened
from esper_echelon.perception.layout import CONTACT, DESCRIPTOR, EGO, PANEL, SQUAD
from esper_echelon.perception.suite import SuiteObservation

POOLS = ("mean", "sum", "max")
"""How the rows of a set become one."""


class DeepSetEncoder(nn.Module):
    """Encodes a set of rows: each by itself, then all together, so that their order means nothing (Zaheer et al. 2017).

    Padding is not looked at, so that it has no influence, whatever it holds, its gradient is exactly 0, and it costs no
    time: of contacts more than half is padding. An empty set gives what `rho` makes of zeros.

    Args:
        entity_dim: Numbers of a row.
        hidden: Width of its layers.
        out: Numbers that it returns.
        aggregation: One of `POOLS`. A mean does not tell how many rows there are.
    """

    def __init__(self, entity_dim: int, hidden: int, out: int, aggregation: str = "mean") -> None:
        super().__init__()
        self.phi = nn.Sequential(
            nn.Linear(entity_dim, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.rho = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out))
        self._aggregation = aggregation

    def forward(self, entities: Tensor, padding: Tensor) -> Tensor:
        """Map `entities [..., K, F]` and bool `padding [..., K]` to `[..., out]`."""
        lead, real = padding.shape[:-1], ~padding
        at = real.flatten().nonzero().squeeze(-1)
        each = widened(self.phi(entities.flatten(0, -2).index_select(0, at)))
        owner = at // padding.shape[-1]
        pooled = each.new_zeros(lead.numel(), each.shape[-1])
        if self._aggregation == "max":  # what is rectified is never below the 0 that is there
            pooled = pooled.scatter_reduce(0, owner.unsqueeze(-1).expand_as(each), each, "amax")
        else:
            pooled = pooled.index_add(0, owner, each)
        pooled = pooled.unflatten(0, lead)
        if self._aggregation == "mean":
            pooled = pooled / real.sum(-1, keepdim=True).clamp_min(1)
        return self.rho(pooled)


class SuiteStreamEncoder(nn.Module):
    """Encodes a suite observation: `[..., out]`.

    Attributes:
        fused: Numbers that go into the fusion; 182 with 64 hidden ones.

    Args:
        hidden: Width for contacts and for oneself; half of it is that for the squad.
        out: Numbers that it returns.
        aggregation: How rows of a set become one.
    """

    def __init__(self, hidden: int, out: int, aggregation: str = "mean") -> None:
        super().__init__()
        few = hidden // 2
        self.contact_encoder = DeepSetEncoder(len(CONTACT), hidden, hidden, aggregation)
        self.squad_encoder = DeepSetEncoder(len(SQUAD), few, few, aggregation)
        self.ego_encoder = nn.Sequential(nn.Linear(len(EGO), hidden), nn.LayerNorm(hidden), nn.ReLU())
        self.fused = hidden + few + hidden + len(DESCRIPTOR) + len(PANEL)
        self.fusion = nn.Sequential(
            *(nn.Linear(self.fused, out), nn.LayerNorm(out), nn.ReLU()),
            *(nn.Linear(out, out), nn.LayerNorm(out), nn.ReLU()),
        )

    def forward(self, suite: SuiteObservation) -> Tensor:
        """Map blocks `[..., K, F]` and `[..., F]` to `[..., out]`."""
        seen = (
            self.contact_encoder(suite.contacts, suite.contact_mask > 0.5),
            self.squad_encoder(suite.squad, suite.squad_mask > 0.5),
            self.ego_encoder(suite.ego_state),
            suite.suite_descriptor,
            suite.panel_stats,
        )
        return self.fusion(torch.cat(seen, dim=-1))
