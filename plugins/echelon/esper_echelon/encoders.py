"""Encoders of the suite observation: sets of contacts and of squad members, and what is known of oneself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from esper_echelon.layout import CONTACT, DESCRIPTOR, EGO, PANEL, SQUAD
from esper_echelon.suite import SuiteObservation


def _mean(each: Tensor, real: Tensor) -> Tensor:
    return each.sum(-2) / real.sum(-1, keepdim=True).clamp_min(1).to(each.dtype)


POOLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _mean,
    "sum": lambda each, real: each.sum(-2),
    "max": lambda each, real: each.amax(-2),
}
"""What makes one row `[..., H]` of many, `each [..., K, H]`, which are 0 where not `real [..., K]` and never less."""


class DeepSetEncoder(nn.Module):
    """Encodes a set of rows: each by itself, then all together, so that their order means nothing (Zaheer et al. 2017).

    Padding has no influence, whatever it holds, and its gradient is exactly 0. An empty set gives what `rho` makes
    of zeros.

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
        self._pool = POOLS[aggregation]

    def forward(self, entities: Tensor, padding: Tensor) -> Tensor:
        """Map `entities [..., K, F]` and bool `padding [..., K]` to `[..., out]`."""
        outside = padding.unsqueeze(-1)
        # Filled, not multiplied by 0: padding may hold NaN.
        each = self.phi(entities.masked_fill(outside, 0.0)).masked_fill(outside, 0.0)
        return self.rho(self._pool(each, ~padding))


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
