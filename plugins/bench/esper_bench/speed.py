"""How fast environments are stepped, and on what the time is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

HOST_PHASES = ("host_training", "validation")
"""Phases of an environment that are the work itself; all else is what esper adds to it."""


@frozen
class Speed:
    """What a stretch of environment steps took.

    Attributes:
        steps: Environment steps, each of one environment.
        seconds: Wall time.
        phases: Phase → seconds of it.
    """

    steps: int
    seconds: float
    phases: Mapping[str, float]

    @property
    def other_share(self) -> float:
        """Share of the wall time that is neither host training nor validation."""
        return 1.0 - sum(self.phases.get(phase, 0.0) for phase in HOST_PHASES) / self.seconds

    def figures(self) -> dict[str, Any]:
        """Return the figures of every workload that steps environments."""
        return {
            "environment_steps_per_second": self.steps / self.seconds,
            "other_share": self.other_share,
            "phases": {
                phase: {"seconds": seconds, "share": seconds / self.seconds}
                for phase, seconds in sorted(self.phases.items(), key=lambda entry: -entry[1])
            },
        }
