"""The guard against numbers that are not finite: an update that meets one is undone, named and counted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define

from esper_core.contracts.errors import EsperError
from esper_core.learning.state import Learned
from esper_core.learning.thresholds import LearningWarning

SKIPS_IN_A_ROW = 3
"""Updates skipped in a row after which a run stops."""


class NotFinite(Exception):
    """The policy, or what it was to learn from, became NaN or infinite; its text says where."""


def check_finite(what: str, value: float) -> None:
    """Raise NotFinite where a number is not finite."""
    if not math.isfinite(value):
        raise NotFinite(f"{what} became NaN or infinite")


@define
class Guard:
    """Keeps what is learned finite.

    `updates` were skipped since the start of the run, `in_a_row` of them since the last one that was not; `reason` says
    why the last update was skipped, and is empty when it was not.
    """

    learned: Learned
    updates: int = 0
    in_a_row: int = 0
    reason: str = ""

    @contextmanager
    def skipping(self) -> Iterator[None]:
        """Undo what is learned within, and count it, where NotFinite is raised."""
        before = self.learned.copy()
        try:
            yield
        except NotFinite as error:
            self.learned.restore(before)
            self.updates, self.in_a_row, self.reason = self.updates + 1, self.in_a_row + 1, str(error)
        else:
            self.in_a_row, self.reason = 0, ""

    def warnings(self, update: int) -> list[LearningWarning]:
        """Return the warning that an update was skipped, if it was."""
        if not self.reason:
            return []
        message = f"update {update} was skipped, and policy and optimiser left as they were: {self.reason}"
        return [LearningWarning("update-skipped", "skipped_updates", None, float(self.updates), 0.0, update, message)]

    def check(self, done: int, updates_total: int) -> None:
        """Raise EsperError when too many updates in a row were skipped, or when all of a run were."""
        skips = self.in_a_row
        if not skips or (skips < SKIPS_IN_A_ROW and not skips == done == updates_total):
            return
        which = f"Updates {done - skips + 1} to {done} were" if skips > 1 else f"Update {done} was"
        raise EsperError(
            f"{which} skipped: {self.reason}. The policy is that of update {done - skips}.",
            hint="Begin a new run with a lower train.lr or train.max_grad_norm, or go on from an earlier checkpoint "
            "with --at.",
        )

    def state(self) -> dict[str, Any]:
        """Return what it remembers, JSON-able."""
        return {"updates": self.updates, "in_a_row": self.in_a_row, "reason": self.reason}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.updates, self.in_a_row, self.reason = state["updates"], state["in_a_row"], state["reason"]
