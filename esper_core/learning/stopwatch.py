"""Where the time goes."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Stopwatch:
    """`seconds` per phase: all time up to a lap belongs to the phase that the lap names."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str, inner: Mapping[str, float] | None = None) -> None:
        """Book the time since the last lap under `phase`, less the seconds of `inner` phases, which are booked too."""
        now = time.perf_counter()
        if not inner:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
            self._last = now
            return
        rest = now - self._last - sum(inner.values())
        for name, seconds in {**inner, phase: inner.get(phase, 0.0) + rest}.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self._last = now
