"""Probability ratios over all evaluations of an update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from attrs import define, field
from torch import Tensor

from esper_core.learning.monitors import number
from esper_core.learning.rollout import Sequences
from esper_core.policy.policy import Evaluation

ENOUGH = 2**16
"""Ratios that are worth a computation: small minibatches would spend more on calls than on numbers."""


class Seen(NamedTuple):
    """What an evaluation says of ratios, by head, and its valid steps; each `[E, T]`, and no graph hangs on it."""

    new: dict[str, Tensor]
    old: Mapping[str, Tensor]
    choice: Mapping[str, Tensor]
    valid: Tensor


@define
class Ratios:
    """Ratios per head and joint ones, their product, over the steps at which a head had a choice.

    Evaluations are kept until they hold `ENOUGH` ratios, and then summed up together.
    """

    names: tuple[str, ...]
    _kept: list[Seen] = field(factory=list)
    _extents: list[Tensor] = field(factory=list)

    def add(self, batch: Sequences, evaluation: Evaluation) -> None:
        """Note an evaluation of a batch."""
        kept, valid = self._kept, batch.valid
        if kept and kept[-1].valid.shape != valid.shape:
            self._sum_up()
        new = {name: evaluation.log_prob[name].detach() for name in self.names}
        kept.append(Seen(new, batch.old_log_prob, batch.choice, valid))
        if len(kept) * len(new) * valid.numel() >= ENOUGH:
            self._sum_up()

    def metrics(self) -> dict[str, float | None]:
        """Return `ratio_min|mean|max/<head>`, and the same of the joint ratio; one evaluation was added at least."""
        self._sum_up()
        table = torch.cat(self._extents)
        lowest, highest = table[..., 0].amin(0).tolist(), table[..., 1].amax(0).tolist()
        total, count = table[..., 2].sum(0).tolist(), table[..., 3].sum(0).tolist()
        metrics: dict[str, float | None] = {}
        for row, end in enumerate([*(f"/{name}" for name in self.names), ""]):
            metrics[f"ratio_min{end}"] = number(lowest[row])
            metrics[f"ratio_mean{end}"] = number(total[row] / count[row]) if count[row] else None
            metrics[f"ratio_max{end}"] = number(highest[row])
        return metrics

    def _sum_up(self) -> None:
        """Write smallest, largest and summed ratio and its count, float64 `[evaluations, heads + 1, 4]`, joint last."""
        kept, names = self._kept, self.names
        if not kept:
            return

        def together(part: str, name: str) -> Tensor:
            return torch.stack([getattr(seen, part)[name] for seen in kept])

        logs = torch.stack([together("new", name) - together("old", name) for name in names], dim=1)
        where = torch.stack([together("choice", name) for name in names], dim=1)
        where &= torch.stack([seen.valid for seen in kept]).unsqueeze(1)
        logs = torch.where(where, logs, 0.0).double()
        ratio = torch.cat([logs, logs.sum(1, keepdim=True)], dim=1).exp().flatten(2)
        where = torch.cat([where, where.any(1, keepdim=True)], dim=1).flatten(2)
        lowest, highest = ratio.masked_fill(~where, torch.inf).amin(2), ratio.masked_fill(~where, -torch.inf).amax(2)
        self._extents.append(torch.stack([lowest, highest, torch.where(where, ratio, 0.0).sum(2), where.sum(2)], dim=2))
        kept.clear()


def ratio_at_start(evaluation: Evaluation, old_log_prob: dict[str, Tensor], valid: Tensor) -> float:
    """Return the joint ratio farthest from 1 over the valid steps: 1 where a policy evaluates the same data twice."""
    logs = [evaluation.log_prob[name] - old_log_prob[name] for name in old_log_prob]
    ratio = torch.stack(logs).sum(0)[valid].detach().double().exp()
    return float(ratio[(ratio - 1).abs().argmax()]) if ratio.numel() else 1.0
