"""SIGINT and SIGTERM end a run soon, whatever it is doing, with a status and a word about where to go on."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from esper_core.cli import stopping
from esper_core.cli.app import main
from esper_core.contracts.errors import Terminated
from esper_growth.fused import compiler as compiler_module
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


def is_gone(send: Callable[[int, int], None], number: int) -> bool:
    """Return whether nothing is left to be signalled; children of a process that ended take a moment."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            send(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


@BOTH
def test_while_processes_train(begin, tmp_path, number, status):
    process = begin("--updates", "500", "--epochs", "12", "-o", "environment.workers=2")
    wait_for(process, lambda: list(tmp_path.glob("runs/*/checkpoints/0*")))
    stop(process, number)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == status and "Traceback" not in said
    (kept,) = re.findall(r"Error: Stopped in update \d+ of 500\. The last checkpoint is (\S+)\.", said)
    assert (tmp_path / kept / "state.json").is_file()
    assert f"Continue it: esper train --resume {Path(kept).parents[1]}" in said
    assert is_gone(os.killpg, process.pid)


@BOTH
def test_before_the_first_update_has_ended(begin, tmp_path, number, status):
    # Curves of other settings than those in the cache, and long ones.
    process = begin("--epochs", "20000", "-o", "environment.workers=2", "-o", "environment.host_lr=0.011")
    wait_for(process, lambda: list(tmp_path.glob("runs/*/lock")))
    time.sleep(0.3)
    stop(process, number)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == status and "Traceback" not in said
    assert re.search(r"Stopped in update 1 of 40\. There is no checkpoint yet\.\nContinue it: esper train --re", said)
    assert is_gone(os.killpg, process.pid)


@BOTH
def test_while_kernels_are_compiled(begin, tmp_path, monkeypatch, number, status):
    compiler = tmp_path / "slow-compiler"
    compiler.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit\necho $$ > {tmp_path}/compiling\nsleep 600\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "cache"))
    compiler_module.load.cache_clear()  # or what an earlier test has loaded is used
    process = begin("-o", "environment.kernels=compiled")
    compiling = tmp_path / "compiling"
    wait_for(process, lambda: compiling.exists() and compiling.read_text().endswith("\n"))
    time.sleep(0.3)
    stop(process, number)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == status and "Stopped before the first update; nothing was written." in said
    assert not list(tmp_path.glob("runs/*/run.json"))
    assert is_gone(os.kill, int(compiling.read_text()))


# Whatever it is doing -----------------------------------------------------------------------------------------------


class Grudging:
    """Swallows what is raised when it is destroyed, as every destructor does."""

    def __del__(self) -> None:
        Path("ready").touch()
        time.sleep(60)


def destroy() -> None:
    Grudging()
    time.sleep(60)


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


def import_for_ever() -> None:
    """Stand in for a library in the middle of its import."""
    exec("import pathlib, time\npathlib.Path('ready').touch()\ntime.sleep(60)", {"__name__": "numpy.dtypes"})


@BOTH
@pytest.mark.parametrize("work", [destroy, hide, import_for_ever])
def test_the_exception_may_be_lost_or_waited_on(tmp_path, monkeypatch, work, number, status):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.2)
    process = forking.start(promptly, work, said=tmp_path / "said")
    wait_for(process, (tmp_path / "ready").exists)
    stop(process, number)
    assert process.exitcode == status
    assert "Error: These are the last words." in (tmp_path / "said").read_text()


def clean_up_a_while() -> None:
    try:
        Path("ready").touch()
        time.sleep(60)
    finally:
        Path("cleaning").touch()
        time.sleep(0.5)
        Path("clean").touch()


def test_it_is_raised_where_code_can_bear_it():
    """A library is left alone until it has come back."""
    told = []

    def work() -> None:
        library = "import time\ntry:\n    time.sleep(0.3)\n    told.append('whole')\nexcept BaseException:\n    pass\n"
        try:
            exec(library, {"__name__": "numpy.dtypes", "told": told})
            time.sleep(60)
        except BaseException:
            assert told == ["whole"]
            raise

    def main_() -> None:
        stopping.SAFE = (*stopping.SAFE, __name__)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        stopping.raise_on_signals()
        with pytest.raises(Terminated), stopping.stopping_promptly(str):
            work()

    assert forking.call(main_) == 0


def test_a_second_signal_does_not_disturb_cleaning_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process = forking.start(promptly, clean_up_a_while)
    wait_for(process, (tmp_path / "ready").exists)
    os.kill(process.pid, signal.SIGINT)
    wait_for(process, (tmp_path / "cleaning").exists)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert (tmp_path / "clean").exists()


def test_afterwards_everything_is_as_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stopping.stopping_promptly(str):
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_what_runs_in_the_background_goes_on_ignoring_the_keyboard():
    def ignored() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with stopping.stopping_promptly(str):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)

    assert forking.call(ignored) == 0
