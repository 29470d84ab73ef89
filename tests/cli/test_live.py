"""The live view while a run goes on: what it asks of the environment, and the terminal it leaves behind."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from esper_core.cli import live as module
from esper_core.cli.live import LiveView
from esper_core.cli.pace import Pace
from esper_core.contracts.board import Board, Cell, Row
from esper_core.contracts.foreign import UNKNOWN
from esper_core.learning.thresholds import LearningWarning
from esper_core.learning.trainer import StepProgress, Update
from esper_core.runs.words import Words
from tests.cli.resuming import SMALL
from tests.command import environment

ACTIONS = SimpleNamespace(
    root="op",
    ops=("WAIT", "JUMP"),
    categorical=(SimpleNamespace(name="op"),),
    continuous=(SimpleNamespace(name="aim"),),
)


class Boarded:
    num_envs = 3

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.asked = error, 0

    def board(self, envs: Any) -> Board:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Board(["left", "right"], [Row(f"arena {e}", "fine", [Cell("IDLE"), Cell("BUSY", "tank")]) for e in envs])


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a view of an environment, and its console's file."""
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module, "COST", 1e9)

    def make(environment: Any) -> tuple[LiveView, io.StringIO]:
        file = io.StringIO()
        console = Console(file=file, force_terminal=True, width=80, height=24)
        trainer: Any = SimpleNamespace(policy=SimpleNamespace(actions=ACTIONS), environment=environment, owners=UNKNOWN)
        return LiveView(trainer, "a policy", Words(), Pace(4, 8), console), file

    return make


def test_it_shows_the_environment_whose_turn_it_is(view: Any) -> None:
    """Where a number of slots is drawn for each update, every number has an environment of its own."""
    first, second = Boarded(), Boarded()
    shown, _ = view(first)
    with shown:
        shown.on_step(StepProgress(1, 4, "collect", 0, 4))
        asked = first.asked
        shown._trainer.environment = second
        shown.on_step(StepProgress(2, 4, "collect", 0, 4))
    assert (first.asked, bool(second.asked)) == (asked, True)


def test_it_shows_the_run_and_leaves_a_clean_terminal(view: Any) -> None:
    shown, file = view(Boarded())
    with shown:
        shown.on_step(StepProgress(1, 4, "collect", 0, 4))
        assert "arena 2" in file.getvalue() and "tank" in file.getvalue() and "collect 0/4" in file.getvalue()
        file.truncate(0)
        warning = LearningWarning("ratio-exploded", "ratio_max/op", "op", 12.0, 10.0, 1, "")
        metrics = {"return": 0.25, "op/WAIT": 0.75, "op/JUMP": 0.25, "entropy/op": 0.5}
        metrics |= {"entropy/aim": -0.7, "std/aim": 0.4}
        shown.on_update(Update(1, 8, metrics, {}, [], [warning]))
        text = file.getvalue()
        for words in ("update 1/4", "0.250", "75%", "25%", "entropy left", "ratio-exploded  ratio_max/op 12"):
            assert words in text.replace("\x1b[1m", "").replace("\x1b[0m", ""), words
        assert "std aim" in text and "-0.7" not in text, "numbers have a deviation, and no share of an entropy"
        shown.warn("head op: probability ratio 12")
    end = file.getvalue()
    assert "warning: head op: probability ratio 12" in end
    assert "\x1b[?25h" in end, "the cursor is back"
    assert end.endswith("\x1b[1A\x1b[2K"), "and the view is wiped out"


def test_a_board_that_fails_is_said_once_and_training_goes_on(view: Any) -> None:
    environment = Boarded(ValueError("no board today"))
    shown, file = view(environment)
    with shown:
        for step in range(3):
            shown.on_step(StepProgress(1, 4, "collect", step, 4))
    assert environment.asked == 1 and file.getvalue().count("no board today") == 1


def test_nothing_is_computed_between_frames(view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1e9)
    environment = Boarded()
    with view(environment)[0] as shown:
        for step in range(5):
            shown.on_step(StepProgress(1, 4, "collect", step, 5))
    assert environment.asked == 0, "the frame that showed the beginning was the last for a long time"


def read(terminal: int, until: bytes) -> bytes:
    """Return what appears on a terminal until some words do, or it is closed."""
    seen = b""
    with suppress(OSError):  # Linux closes it so
        while until not in seen:
            seen += os.read(terminal, 65536)
    return seen


@pytest.mark.parametrize("arguments", [(), ("--plain",)])
def test_ctrl_c_on_a_real_terminal(tmp_path: Path, shared: Path, arguments: tuple[str, ...]) -> None:
    ours, theirs = pty.openpty()
    words = ["train", "--policy", "lstm-v1", "--slots", "2", "--updates", "500", *SMALL, "--out", str(tmp_path)]
    command = [sys.executable, "-m", "esper_core.cli.app", *words, *arguments]
    variables = environment(shared, TERM="xterm-256color", COLUMNS="80", LINES="24")
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
    os.close(theirs)
    late = threading.Timer(60, process.kill)
    late.start()
    begun = read(ours, b"update 2/500")
    process.send_signal(signal.SIGINT)
    end = read(ours, b"no such words")
    assert process.wait() == 130
    late.cancel()
    os.close(ours)
    assert b"Stopped in update" in end
    if arguments:
        assert b"\x1b" not in begun + end, "plain lines have no control codes"
        return
    assert b"host 0" in begun and b"dormant" in begun
    wiped = end.rindex(b"\x1b[?25h")
    assert b"host" not in end[wiped:] and b"\x1b[2K" in end[wiped:], "what is left is the message"
