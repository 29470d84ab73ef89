"""Child processes: they answer, die by name and never outlive anybody; what is raised there is said here."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from esper_core.contracts.errors import ConfigError, EsperError, PluginError
from esper_core.system.processes import (
    Child,
    Failure,
    Purpose,
    RemoteTraceback,
    attempted,
    end_children,
    start_children,
)
from tests.runs import forking


class Holding(Exception):
    """Goes into no pickle."""

    def __init__(self) -> None:
        super().__init__("it holds a lock")
        self.lock = threading.Lock()


def failed(error: BaseException) -> EsperError:
    def call() -> None:
        raise error

    failure = pickle.loads(attempted(call))
    assert isinstance(failure, Failure) and __name__ in failure.modules
    return failure.error("The host 'x' (esper-x 1.0)", "training hosts")


@pytest.mark.parametrize(("error", "said"), [(Holding(), "Holding: it holds a lock"), (SystemExit(0), "SystemExit: 0")])
def test_whatever_is_raised_is_said(error: BaseException, said: str) -> None:
    arrived = failed(error)
    assert type(arrived) is PluginError
    assert arrived.message == f"The host 'x' (esper-x 1.0) failed while training hosts: {said}."
    assert "--debug" in arrived.hint
    assert isinstance(arrived.__cause__, RemoteTraceback) and "in call" in str(arrived.__cause__)


def test_an_error_of_ours_stays_what_it_is_and_a_class_of_a_plugin_becomes_the_nearest_of_core() -> None:
    class Own(ConfigError):
        exit_code = 7

    arrived = failed(Own("Wrong.", hint="Do this."))
    assert type(arrived) is ConfigError and arrived.exit_code == 7 and str(arrived) == "Wrong.\nDo this."


# Children -----------------------------------------------------------------------------------------------------------

PURPOSE = Purpose("esper-doublers", "doubling", "Lower it.", "Look there.", lambda modules: None)


def begin() -> Callable[[int], int]:
    def double(number: int) -> int:
        if number == 0:
            os._exit(3)
        return 2 * number if number > 0 else 1 // 0

    return double


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started = start_children(PURPOSE, [begin] * 2)
    yield started
    end_children(started)


def test_children_answer_and_what_they_raise_arrives(children: list[Child]) -> None:
    for number, child in enumerate(children, start=1):
        child.ask(number)
    assert [child.answer() for child in children] == [2, 4]
    children[0].ask(-1)
    with pytest.raises(PluginError, match="A process for doubling failed while doubling: ZeroDivisionError"):
        children[0].answer()
    children[0].ask(5)
    assert children[0].answer() == 10, "the process is still there"


@pytest.mark.parametrize(("number", "status", "hint"), [(0, 3, "Look there."), (9, -9, "Lower it."), (15, -15, "Look")])
def test_a_child_that_dies_is_named(children: list[Child], number: int, status: int, hint: str) -> None:
    if number == 0:
        children[1].ask(0)
    else:
        os.kill(children[1].process.pid or 0, number)
    with pytest.raises(EsperError, match=rf"ended unexpectedly \(exit status {status}\)") as caught:
        children[1].answer()
    assert hint in caught.value.hint
    children[0].ask(1)
    assert children[0].answer() == 2


def test_ctrl_c_is_the_parents_business_and_an_end_leaves_nobody(children: list[Child]) -> None:
    children[0].ask(3)
    children[0].answer()
    os.kill(children[0].process.pid or 0, signal.SIGINT)
    children[0].ask(4)
    assert children[0].answer() == 8
    end_children(children)
    assert not any(child.process.is_alive() for child in children)


def test_nobody_outlives_a_killed_parent(tmp_path: Path) -> None:
    def parent() -> None:
        started = start_children(PURPOSE, [begin] * 2)
        (tmp_path / "pids.new").write_text(" ".join(str(child.process.pid) for child in started))
        (tmp_path / "pids.new").rename(tmp_path / "pids")
        time.sleep(60)

    process = forking.start(parent)
    deadline = time.monotonic() + 20
    while not (tmp_path / "pids").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.join()
    pids = (tmp_path / "pids").read_text().split()
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(pids) == 2 and not any(map(_alive, pids))


def _alive(pid: str) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
