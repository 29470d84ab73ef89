"""A league: policies that play each other, rated, promoted and retired. Importing this module imports no torch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from esper_league.entry import LeagueEntry
    from esper_league.glicko import Glicko2Rating, rate
    from esper_league.league import League
    from esper_league.match import Match

__all__ = ["Glicko2Rating", "League", "LeagueEntry", "Match", "rate"]

_LAZY = {"Glicko2Rating": "glicko", "League": "league", "LeagueEntry": "entry", "Match": "match", "rate": "glicko"}

if not TYPE_CHECKING:  # so that a name that does not exist is an error of types too

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'esper_league' has no attribute '{name}'")
        return globals().setdefault(name, getattr(importlib.import_module(f"esper_league.{_LAZY[name]}"), name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
