"""Ranks of a launcher such as torchrun: rank 0 is the command; the others follow it, and say nothing but errors."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import typer

from esper_core.ranks.launch import Launch

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.registry.index import Index

REFUSED = 2
"""Status of a rank that rank 0 refused, which says why."""


def check(launch: Launch | None, plan: Plan, index: Index) -> None:
    """Raise UserError where several ranks cannot train a plan together."""
    if launch is not None:
        from esper_core.ranks.refusals import check_ranks

        check_ranks(plan, index, launch.count)


def follow(launch: Launch, index: Index) -> None:
    """Follow rank 0; raises typer.Exit where it refuses, and EsperError for what goes wrong here."""
    # Rank 0 says what is kept. While this one waits for it nothing of Python runs, so signals end it at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    from esper_core.ranks import running

    if not running.follow(launch, index):
        raise typer.Exit(REFUSED)
