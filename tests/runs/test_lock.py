"""One process per run directory; the lock ends with its holder and no child of it keeps it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from esper_core.contracts.errors import UserError
from esper_core.runs.lock import LOCK_FILE, locked
from tests.runs import forking


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def hold(run: Path, ready: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
    with locked(run):
        meanwhile()
        ready.touch()
        time.sleep(60)


def test_a_second_process_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    holder = forking.start(hold, tmp_path, tmp_path / "ready")
    wait_for((tmp_path / "ready").exists)
    with (
        pytest.raises(UserError, match=rf"Process {holder.pid} on .* works on the run {tmp_path}\.") as caught,
        locked(tmp_path),
    ):
        pass
    assert caught.value.exit_code == 2
    holder.kill()
    holder.join()
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text().split()[0] == str(os.getpid())


@pytest.mark.parametrize("kind", ["forked", "executed"])
def test_an_orphan_keeps_nothing(tmp_path: Path, kind: str) -> None:
    """A killed run may leave processes behind: some that train hosts, some that run a program such as a compiler."""
    orphan = tmp_path / "orphan"

    def leave_one() -> None:
        if kind == "executed":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False).pid
        else:
            child = forking.start(time.sleep, 60).pid or 0
        orphan.write_text(str(child))

    holder = forking.start(hold, tmp_path, tmp_path / "ready", leave_one)
    wait_for((tmp_path / "ready").exists)
    holder.kill()
    holder.join()
    child = int(orphan.read_text())
    try:
        os.kill(child, 0)
        with locked(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_whatever_the_file_says_the_lock_is_what_counts(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("gibberish \x00")
    with locked(tmp_path):
        assert forking.call(int) == 0, "a child that ends does not end it"
        (tmp_path / LOCK_FILE).write_text("")
        assert forking.call(_refused, tmp_path) == 0


def _refused(run: Path) -> None:
    with pytest.raises(UserError, match="works on the run"), locked(run):
        pass
