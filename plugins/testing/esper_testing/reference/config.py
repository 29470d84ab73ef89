"""Options of the reference components."""

from __future__ import annotations

from attrs import frozen

from esper_core.contracts.options import option

LAYOUTS = ("slotted", "rooted", "flat", "mixed", "numbers")
NUMBERS = ("mixed", "numbers")
"""Those with heads of numbers."""


@frozen
class LampsConfig:
    """Options of the reference environment and its masks."""

    epochs: int = option(6, low=1, help="Steps per episode.")
    layout: str = option(
        "slotted",
        choices=LAYOUTS,
        help="slotted: operation, slot and more; rooted: an operation but no slot; flat: two heads that always matter; "
        "mixed: as slotted, with numbers that matter to some operations; numbers: nothing but numbers.",
    )
    pictures: bool = option(False, help="Publish a picture of the lamps as well, for networks that read arrays.")


@frozen
class MatchConfig:
    """Options of the reference environment of several agents."""

    epochs: int = option(6, low=1, help="Most steps of a match.")


@frozen
class DuelConfig:
    """Options of the reference environment of two sides."""

    epochs: int = option(6, low=1, help="Rounds of a match.")
    players: int = option(2, low=1, help="Players of a side.")
    opponent: str = option(
        "anything", choices=("anything", "rock", "paper", "scissors"), matters=False, help="What the other side plays."
    )
