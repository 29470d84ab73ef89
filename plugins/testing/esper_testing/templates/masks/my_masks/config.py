"""Options of the masks. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyMasksConfig:
    """Options of `my-masks`; set one with `-o masks.most_growing=2`."""

    most_growing: int = option(1, low=0, help="Seeds that may grow at a time; fossils do not count. 0 forbids growing.")
