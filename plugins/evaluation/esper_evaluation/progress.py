"""How far a contest is, as whoever waits is told. No torch is imported."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[float, int, str], None]
"""Takes in how many episodes are played, of how many, and what is being played."""


class Progress:
    """Counts episodes, and parts of those that are being played."""

    def __init__(self, total: int, horizon: int, tell: OnProgress) -> None:
        self.total, self._done, self._horizon, self._tell = total, 0, horizon, tell

    def step(self, step: int, episodes: int, what: str) -> None:
        """Tell that so many steps of some episodes are done."""
        self._tell(self._done + episodes * step / self._horizon, self.total, what)

    def add(self, episodes: int, what: str) -> None:
        """Tell that episodes have ended."""
        self._done += episodes
        self._tell(self._done, self.total, what)
