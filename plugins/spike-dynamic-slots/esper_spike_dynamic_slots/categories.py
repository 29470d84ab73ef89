"""The categories: how many checks each has, and for which slot counts.

The counts are declared rather than collected, so that a lost check turns the verdict RED.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

CHECKS = Path(__file__).with_name("checks")
TRAINED = (2, 5)
"""Slot counts at which a policy is trained: one below and one above the three that architectures are made for."""

SAVED_SLOTS = "saved_slots"
"""Name of the test parameter that holds the slot count of a checkpoint."""


def trained_of(slots: Sequence[int]) -> tuple[int, ...]:
    """Return those of 2 and 5 that are asked for, or the largest that is."""
    return tuple(count for count in slots if count in TRAINED) or (max(slots),)


@frozen
class Checks:
    """The checks of one category.

    Attributes:
        category: Name of the category; the module's `CATEGORY`.
        module: File name of the test module.
        count: Checks per slot count.
        pairs: Further checks per slot count at which a policy was saved and slot count at which it is loaded.
        integration: They need the plan's environment and masks; the others need neither.
        subjects: Kinds of component that they look at, the one most likely at fault first.
        slots: Which of the slot counts asked for they run with.
    """

    category: str
    module: str
    count: int
    pairs: int = 0
    integration: bool = False
    subjects: tuple[str, ...] = ("network", "critic", "features")
    slots: Callable[[Sequence[int]], tuple[int, ...]] = tuple

    @property
    def path(self) -> Path:
        """Where the module lies."""
        return CHECKS / self.module

    def declared(self, slots: Sequence[int]) -> int:
        """Return how many checks there are for these slot counts."""
        chosen = len(self.slots(slots))
        return self.count * chosen + self.pairs * chosen * chosen


CATEGORIES = (
    Checks("network construction", "test_network_construction.py", 8),
    Checks("forward/backward", "test_forward_backward.py", 5),
    Checks("action masking", "test_action_masking.py", 4),
    Checks("action sampling", "test_action_sampling.py", 4),
    Checks("action evaluation", "test_action_evaluation.py", 4),
    Checks("entropy", "test_entropy.py", 4),
    Checks(
        "checkpoint compatibility",
        "test_checkpoint_compatibility.py",
        1,
        pairs=1,
        subjects=("network", "critic", "features", "loss"),
    ),
    Checks("recurrent state", "test_recurrent_state.py", 4),
    Checks(
        "minimal PPO training",
        "test_minimal_ppo_training.py",
        4,
        subjects=("loss", "network", "critic", "features"),
        slots=trained_of,
    ),
    Checks("mask integration", "test_mask_integration.py", 5, integration=True, subjects=("masks", "environment")),
    Checks(
        "agent integration",
        "test_agent_integration.py",
        4,
        integration=True,
        subjects=("masks", "environment", "loss", "features", "network", "critic"),
    ),
)


def find_checks(category: str) -> Checks:
    """Return the checks of a category; raises KeyError."""
    return {checks.category: checks for checks in CATEGORIES}[category]
