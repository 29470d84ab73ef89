"""The governor: which hosts diverge, and which snapshots they can be restored from.

A host that diverges would add noise to rewards until its episode ends. It is restored from its last good snapshot, its
live seeds are pruned, and its episode ends with a penalty.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

import torch
from attrs import define
from torch import Tensor

from esper_growth.config import GrowthConfig
from esper_growth.runtime import Validation

WINDOW = 20
"""Good epochs that a loss is compared with."""

ENOUGH = 10
"""Good epochs before their spread says anything."""

MULTIPLE = 3.0
"""An exploding loss is above this multiple of the mean of the good ones."""

LEARNED, BLANK = 0.6, 0.065
"""A host had learned if its mean loss was below this share of ln(classes), and is blank within this share of it."""


class Verdict(IntEnum):
    """The health of a host; the last three end its episode."""

    FINE = 0
    SUSPECT = 1
    NOT_FINITE = 2
    COLLAPSED = 3
    EXPLODED = 4


@define
class Governor:
    """The health of the hosts in this episode.

    Attributes:
        config: Thresholds.
        classes: Classes of the task.
        history: Losses of the last good epochs `[E, WINDOW]`, nats, NaN where there was none.
        strikes: Epochs in a row with an exploding loss, `[E]`.
        snapshot_epoch: Epochs that the host of the last snapshot was trained for, `[E]`.
        fossils: Slots whose fossils are in the last snapshot, bool `[E, N]`.
    """

    config: GrowthConfig
    classes: int
    history: Tensor
    strikes: Tensor
    snapshot_epoch: Tensor
    fossils: Tensor

    @classmethod
    def start(cls, config: GrowthConfig, classes: int, loss: Tensor, num_slots: int) -> Governor:
        """Return the governor of untrained hosts, whose loss `[E]` is the first good one."""
        history = torch.full((len(loss), WINDOW), torch.nan, dtype=torch.float64)
        history[:, -1] = loss
        none = torch.zeros(len(loss), dtype=torch.int64)
        return cls(config, classes, history, none, none.clone(), torch.zeros(len(loss), num_slots, dtype=torch.bool))

    def judge(self, validation: Validation, active: Tensor) -> Tensor:
        """Take in an epoch of the active environments, bool `[E]`; return a `Verdict` for each, int64 `[E]`.

        * NOT_FINITE: the loss is.
        * COLLAPSED: a host that had learned guesses again: its loss is that of equal probabilities, and its accuracy
          less than twice that of chance.
        * EXPLODED: for `governor_patience` epochs in a row the loss was above `governor_loss`, above three times the
          mean of the good ones and, once there are ten of these, above their mean by `governor_sigmas` standard
          deviations. SUSPECT before that; such a loss is no good one.
        """
        config, blank = self.config, math.log(self.classes)
        loss = validation.loss.double()
        known = ~self.history.isnan()
        count = known.sum(dim=1)
        mean = self.history.nansum(dim=1) / count.clamp_min(1)
        deviation = torch.where(known, self.history - mean[:, None], 0.0).square().sum(dim=1).div(count.clamp_min(1))
        unusual = (count < ENOUGH) | (loss > mean + config.governor_sigmas * deviation.sqrt())
        exploding = (loss > config.governor_loss) & (loss > MULTIPLE * mean) & unusual
        guessing = ((loss - blank).abs() < BLANK * blank) & (validation.accuracy < 2 / self.classes)
        collapsed = guessing & (mean < LEARNED * blank)

        self.strikes = torch.where(active, torch.where(exploding, self.strikes + 1, 0), self.strikes)
        verdict = torch.where(exploding, int(Verdict.SUSPECT), int(Verdict.FINE))
        verdict[self.strikes >= config.governor_patience] = int(Verdict.EXPLODED)
        verdict[collapsed] = int(Verdict.COLLAPSED)
        verdict[~loss.isfinite()] = int(Verdict.NOT_FINITE)
        verdict[~active] = int(Verdict.FINE)
        good = active & (verdict == Verdict.FINE)
        shifted = torch.cat([self.history[:, 1:], loss[:, None]], dim=1)
        self.history = torch.where(good[:, None], shifted, self.history)
        return verdict

    def due(self, epoch: Tensor, fossils: Tensor, verdict: Tensor, active: Tensor) -> Tensor:
        """Return of which hosts a snapshot is due, bool `[E]`, and count it as taken.

        It is due of good hosts, every few epochs and whenever there is a new fossil.

        Args:
            epoch: Epochs trained, `[E]`.
            fossils: Slots with a fossil, bool `[E, N]`.
            verdict: From `judge`.
            active: Environments whose episode was running, bool `[E]`.
        """
        wanted = (epoch % self.config.snapshot_every == 0) | (fossils & ~self.fossils).any(dim=1)
        now = wanted & active & (verdict == Verdict.FINE)
        self.snapshot_epoch = torch.where(now, epoch, self.snapshot_epoch)
        self.fossils = torch.where(now[:, None], fossils, self.fossils)
        return now

    def events(self, verdict: Tensor, loss: Tensor, epoch: Tensor) -> list[dict[str, Any]]:
        """Return an event for every host that is restored.

        Args:
            verdict: From `judge`.
            loss: The loss that was judged, `[E]`.
            epoch: Epochs trained before this one, `[E]`.
        """
        return [
            {
                "env": env,
                "step": int(epoch[env]),
                "type": "rollback",
                "reason": Verdict(int(verdict[env])).name,
                "loss": float(loss[env]) if bool(loss[env].isfinite()) else None,
                "snapshot": int(self.snapshot_epoch[env]),
            }
            for env in (verdict > Verdict.SUSPECT).nonzero().flatten().tolist()
        ]
