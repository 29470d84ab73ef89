"""Options of the opponents that come from a league."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from esper_core import option
from esper_league.matchmaking import MATCHMAKINGS


def _absolute(text: str) -> str:
    """Return a path as it is from everywhere, so that a run can be resumed in another folder; no path stays none."""
    return str(Path(text).expanduser().absolute()) if text else ""


@frozen
class LeagueConfig:
    """Options of the opponents `league`."""

    dir: str = option("", converter=_absolute, help="Directory of the league whose entries are played against.")
    matchmaking: str = option(
        "pfsp",
        choices=MATCHMAKINGS,
        help="Who is met more: pfsp who is hard to beat, rating who is rated alike, uniform nobody.",
    )
    recent_candidates: int = option(
        10, low=0, high=10**6, help="Candidates that are met, the newest; rules and commanders are all met."
    )
    self_play: float = option(
        0.2, low=0.0, high=1.0, help="Share of matches against the learner's own weights at the update's beginning."
    )
    candidate_every: int = option(
        10, low=0, high=10**6, help="Updates after which the learner is added to the league as a candidate; 0 never."
    )
