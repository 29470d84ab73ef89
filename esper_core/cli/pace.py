"""How far a run is, and how fast it goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esper_core.learning.trainer import StepProgress


class Pace:
    """Counts environment steps, and times those of this process; `updates_done` were done before it.

    `begun` is when the first step was, by `time.monotonic`; None before it.
    """

    def __init__(self, updates: int, steps_per_update: int, updates_done: int = 0) -> None:
        self.updates, self.total = updates, updates * steps_per_update
        self.steps = self._before = float(updates_done * steps_per_update)
        self._steps_per_update = steps_per_update
        self.begun: float | None = None

    def on_step(self, progress: StepProgress) -> None:
        """Count a step within an update."""
        if self.begun is None:
            # What comes before the first step is prepared once and tells no pace.
            self.begun = time.monotonic()
        share = progress.step / progress.steps if progress.phase == "collect" else 1.0
        self.steps = (progress.update - 1 + share) * self._steps_per_update

    def on_update(self, update: int) -> None:
        """Count a finished update."""
        self.steps = float(update * self._steps_per_update)

    @property
    def elapsed(self) -> float:
        """Seconds since the first step."""
        return 0.0 if self.begun is None else time.monotonic() - self.begun

    @property
    def speed(self) -> float | None:
        """Environment steps per second; None before there were any."""
        done, elapsed = self.steps - self._before, self.elapsed
        return done / elapsed if done > 0 and elapsed > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds to go at this speed; None as long as there is none."""
        speed = self.speed
        return (self.total - self.steps) / speed if speed else None
