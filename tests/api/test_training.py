"""Training and resuming from Python: the run of the command, bit for bit, and a process left as it was found."""

from __future__ import annotations

import json
import logging
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import esper_core as esper
from tests.api.conftest import SMALL, small
from tests.cli.resuming import SMALL as FLAGS
from tests.cli.resuming import assert_same, only_run
from tests.command import environment

WHENCE = ("created", "git", "resumed", "machine")
"""Entries of `run.json` that say when and where, and not what."""


def record(run: Path) -> dict:
    found = json.loads((run / "run.json").read_text())
    return {key: value for key, value in found.items() if key not in WHENCE}


def test_the_function_and_the_command_write_one_run(trained, process, tmp_path):
    done = process("train", "--policy", "lstm-v2", "--slots", "2", *FLAGS, "--updates", "3", "--out", "runs")
    assert done.returncode == 0, done.stderr
    command = only_run(tmp_path / "runs")
    again = esper.train(small(updates=1), out="again")
    seen: list[int] = []
    again = esper.resume(again, updates=3, on_update=lambda update: seen.append(update.index))
    assert seen == [2, 3]
    whole = esper.train(small(), updates=3, out="whole")  # the third training of this process
    assert_same(whole.path, command)
    assert record(whole.path) == record(command) == record(again.path)
    assert [line["return"] for line in again.metrics()] == [line["return"] for line in whole.metrics()]


def test_a_process_is_left_as_it_was_found(trained, tmp_path, capfd):
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    expected = [torch.rand(1).item(), random.random(), np.random.rand()]
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads, streams = torch.get_num_threads(), (sys.stdout, sys.stderr)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            esper.train(small(threads=3), updates=1, out=tmp_path / "thread")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert raised == []
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert torch.get_num_threads() == threads and (sys.stdout, sys.stderr) == streams
    assert [torch.rand(1).item(), random.random(), np.random.rand()] == expected
    assert capfd.readouterr() == ("", "")
    first, thread_run = trained.metrics()[0], only_run(tmp_path / "thread")
    assert json.loads((thread_run / "metrics.jsonl").read_text())["return"] == pytest.approx(first["return"])


def test_ctrl_c_loses_only_the_update_in_flight(tmp_path):
    def stop(progress) -> None:
        if (progress.update, progress.step) == (2, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        esper.train(small(), updates=3, out="runs", on_step=stop)
    (note,) = caught.value.__notes__
    run = only_run(tmp_path / "runs")
    assert "000001" in note and f"esper_core.resume('{run}')" in note
    resumed = esper.resume("runs/" + run.name)
    assert_same(resumed.path, esper.train(small(), updates=3, out="whole").path)


def test_what_a_callback_raises_ends_the_run_and_what_was_done_is_kept():
    def fail(update: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        esper.train(small(), updates=2, out="runs", on_update=fail)
    (run,) = Path("runs").iterdir()
    assert len(esper.resume(run).metrics()) == 2


def test_warnings_are_logged(caplog):
    caplog.set_level(logging.WARNING, "esper")
    steep = esper.plan("lstm-v2", 2, envs=2, epochs=4, options={**SMALL, "train.lr": 0.5})
    lines = esper.train(steep, updates=3, out="runs").metrics()
    expected = [w["message"] for line in lines for w in line["warnings"] if w["since"] == line["update"]]
    assert expected and [record.message for record in caplog.records if record.name == "esper"] == expected


def test_observers_are_chosen_by_name_and_have_options():
    with pytest.raises(esper.EsperError, match=r"There is no option 'observer.tensorboard.foldr'"):
        esper.train(small(), observe={"tensorboard": {"foldr": "x"}})
    with pytest.raises(esper.EsperError, match=r"No observer named 'tensorbord'. Did you mean 'tensorboard'"):
        esper.train(small(), observe=["tensorbord"])
    run = esper.train(small(), updates=1, out="runs", tensorboard=False)
    assert not list(run.path.rglob("*tfevents*"))


@pytest.mark.parametrize("updates", [0, 2.5, True])
def test_a_number_of_updates_that_is_none(updates, trained):
    for call in (lambda: esper.train(small(), updates=updates), lambda: esper.resume(trained, updates=updates)):
        with pytest.raises(esper.EsperError, match="updates"):
            call()


SCRIPT = """
import multiprocessing
import sys

import esper_core as esper
from tests.api.conftest import SMALL, small


def work(out):
    assert len(esper.train(small(), updates=1, out=out).metrics()) == 1


if __name__ == "__main__":
    plan = small()
    assert "torch" not in sys.modules
    for method in ("fork", "spawn"):  # forked before torch was used
        process = multiprocessing.get_context(method).Process(target=work, args=(method,))
        process.start()
        process.join()
        assert process.exitcode == 0, method
    work("own")
"""


@pytest.mark.slow
def test_in_processes_that_were_forked_and_spawned_and_with_warnings_as_errors(tmp_path, shared):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        env=environment(shared, PYTHONPATH=root),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
