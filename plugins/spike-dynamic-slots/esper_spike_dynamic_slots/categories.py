"""What must be checked: the categories, and how many checks each has for one slot count.

The counts are written down rather than collected, so that a check that is lost turns the verdict RED.
"""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

CHECKS = Path(__file__).with_name("checks")


@frozen
class Checks:
    """The checks of one category.

    Attributes:
        category: Name of the category; the module's `CATEGORY`.
        module: File name of the test module.
        count: Checks per slot count.
    """

    category: str
    module: str
    count: int

    @property
    def path(self) -> Path:
        """Where the module lies."""
        return CHECKS / self.module


CATEGORIES = (
    Checks("network construction", "test_network_construction.py", 7),
    Checks("forward/backward", "test_forward_backward.py", 5),
)
