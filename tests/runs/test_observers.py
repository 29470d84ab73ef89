"""Observers: every one sees the whole run, and one that fails takes nobody with it."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from esper_core.runs.observers import Observers


class Recorder:
    def __init__(self, breaks: str = "", error: BaseException | None = None) -> None:
        self.breaks, self.error = breaks, error or RuntimeError("no luck")
        self.seen: list[Any] = []

    def note(self, method: str, value: Any) -> None:
        self.seen.append((method, value))
        if method == self.breaks:
            raise self.error

    def on_start(self, run: Any) -> None:
        self.note("start", run)

    def on_update(self, update: Any) -> None:
        self.note("update", update)

    def on_finish(self, run: Any) -> None:
        self.note("finish", run)


def watch(observers: dict[str, Recorder], updates: int = 3) -> list[str]:
    said: list[str] = []
    group = Observers(dict(observers))
    with group.watching("run", said.append):  # type: ignore[arg-type]
        for update in range(updates):
            group.on_update(update)  # type: ignore[arg-type]
    return said


WHOLE = [("start", "run"), ("update", 0), ("update", 1), ("update", 2), ("finish", "run")]


@pytest.mark.parametrize(("breaks", "seen"), [("start", 1), ("update", 2)])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("no")])
def test_one_that_fails_is_off_and_named_once(
    monkeypatch: pytest.MonkeyPatch, breaks: str, seen: int, error: BaseException
) -> None:
    # Where esper takes in signals itself, a plain KeyboardInterrupt is the observer's own.
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    observers = {"broken": Recorder(breaks, error), "good": Recorder()}
    said = watch(observers)
    assert said == [f"broken failed and is off for the rest of this run: {type(error).__name__}: {error}"]
    assert len(observers["broken"].seen) == seen
    assert observers["good"].seen == WHOLE
