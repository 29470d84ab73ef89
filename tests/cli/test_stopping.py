"""SIGINT and SIGTERM end a run soon, whatever it is doing, with a status and a word about where to go on."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from esper_core.cli import stopping
from esper_core.cli.app import main
from esper_core.contracts.errors import Terminated
from esper_growth.engine import compiler as compiler_module
from tests.cli.resuming import SMALL
from tests.runs import forking

BOTH = pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
WORDS = ("train", "--policy", "lstm-v2", "--slots", "2", *SMALL, "--out", "runs")


@pytest.fixture
def begin(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ForkProcess]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_CACHE", str(shared / "cache"))
    return lambda *words: forking.start(main, [*WORDS, *words], said=tmp_path / "said")


def wait_for(process: ForkProcess, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)


def stop(process: ForkProcess, number: int) -> None:
    os.kill(process.pid or 0, number)
    process.join(60)


def assert_gone(send: Callable[[int, int], None], number: int) -> None:
    """Assert that nothing is left to be signalled; children of a process that ended take a moment."""
    with suppress(ProcessLookupError):
        for _ in range(1000):
            send(number, 0)
            time.sleep(0.01)
        raise AssertionError(number)


LATE = ("--updates", "500", "--epochs", "12")
# Curves of other settings than those in the cache, and long ones.
EARLY = ("--epochs", "20000", "-o", "environment.host_lr=0.011")


@BOTH
@pytest.mark.parametrize(
    ("words", "begun", "said"),
    [
        (LATE, "checkpoints/0*", r"in update \d+ of 500\. The last checkpoint is runs/"),
        (EARLY, "lock", r"in update 1 of 40\. There is no checkpoint"),
    ],
)
def test_while_processes_train(begin, tmp_path, number, status, words, begun, said):
    process = begin(*words, "-o", "environment.workers=2")
    wait_for(process, lambda: list(tmp_path.glob(f"runs/*/{begun}")))
    time.sleep(0.3)
    stop(process, number)
    text = (tmp_path / "said").read_text()
    assert process.exitcode == status and "Traceback" not in text
    assert re.search(rf"Error: Stopped {said}.*\nContinue it: esper train --resume runs/", text), text
    assert_gone(os.killpg, process.pid)


def test_while_kernels_are_compiled(begin, tmp_path, monkeypatch):
    compiler = tmp_path / "slow-compiler"
    compiler.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit\necho $$ > {tmp_path}/compiling\nsleep 600\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "cache"))
    compiler_module.load.cache_clear()  # or what an earlier test has loaded is used
    process = begin("-o", "environment.runtime=engine")
    compiling = tmp_path / "compiling"
    wait_for(process, lambda: compiling.exists() and compiling.read_text().endswith("\n"))
    time.sleep(0.3)
    stop(process, signal.SIGTERM)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 143 and "Stopped before the first update; nothing was written." in said
    assert not list(tmp_path.glob("runs/*/run.json"))
    assert_gone(os.kill, int(compiling.read_text()))


def hide() -> None:
    while True:
        try:
            Path("ready").touch()
            time.sleep(60)
        except BaseException:
            pass


def promptly(work: Callable[[], None]) -> None:
    stopping.SAFE = (*stopping.SAFE, __name__)  # type: ignore[misc]
    stopping.raise_on_signals()
    with stopping.stopping_promptly(lambda: "These are the last words."):
        work()


@BOTH
def test_the_exception_may_be_lost(tmp_path, monkeypatch, number, status):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.2)
    process = forking.start(promptly, hide, said=tmp_path / "said")
    wait_for(process, (tmp_path / "ready").exists)
    stop(process, number)
    assert process.exitcode == status
    assert "Error: These are the last words." in (tmp_path / "said").read_text()


def test_it_is_raised_where_code_can_bear_it():
    """A library is left alone until it has come back."""
    told = []

    def work() -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        library = "import time\ntry:\n    time.sleep(0.3)\n    told.append('whole')\nexcept BaseException:\n    pass\n"
        with suppress(Terminated):
            exec(library, {"__name__": "numpy.dtypes", "told": told})
            time.sleep(60)
        assert told == ["whole"]

    assert forking.call(promptly, work) == 0


def test_a_second_signal_does_not_disturb_cleaning_up():
    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
                time.sleep(0.2)

    assert forking.call(promptly, work) == 0


def test_afterwards_everything_is_as_before():
    def look() -> None:
        # A process in the background ignores the keyboard, and goes on to.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stopping.raise_on_signals()
        before = signal.getsignal(signal.SIGTERM)
        with stopping.stopping_promptly(str):
            assert signal.getsignal(signal.SIGTERM) != before and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        assert signal.getsignal(signal.SIGTERM) == before and signal.set_wakeup_fd(-1) == -1

    assert forking.call(look) == 0
