"""What docs/reliability.md promises when something breaks, as users see it."""

from __future__ import annotations

import datetime
import os
import re
import resource
import time

from esper_core.cli.app import main, run
from esper_core.runs import directory
from tests.cli.resuming import ENGINE, SMALL, assert_same, files_of, lines_of, only_run
from tests.runs import forking

pytest_plugins = ["esper_testing.pytest"]


def with_small_files(words: list[str]) -> None:
    """Run a command for which no file may be longer than what metrics need, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, resource.RLIM_INFINITY))
    main(words)


def test_a_disk_that_is_full_while_saving(train, references, finished, tmp_path):
    before = files_of(finished / "checkpoints")
    process = forking.start(with_small_files, ["train", "--resume", str(finished), "--at", "3"], said=tmp_path / "said")
    process.join(60)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 1
    assert re.search(r"Error: \S+/checkpoints/000004 cannot be written: File too large\.\nMake room; earlier", said)
    assert f"The last checkpoint is {finished / 'checkpoints/000003'}." in said
    after = files_of(finished / "checkpoints")
    assert after == {name: data for name, data in before.items() if not name.startswith("000004")}
    assert train("--resume", str(finished)) == 0, "there is room again"
    assert_same(finished, references("engine"))


def test_a_place_that_cannot_be_written_is_said_before_any_work(train, capsys):
    assert train(*ENGINE, "--out", "/proc/nothing/here") == 2
    err = capsys.readouterr().err
    assert "No run can be written to /proc/nothing/here" in err and "--out" in err and "preparing" not in err


def test_a_failure_to_close_takes_no_result_away(train, tmp_path, monkeypatch, capsys):
    def close(self):
        raise RuntimeError("workers are gone")

    monkeypatch.setattr("esper_growth.environment.GrowthEnvironment.close", close)
    assert train("--policy", "lstm-v2", "--slots", "2", *SMALL, "--updates", "1", "--out", "runs") == 0
    printed = capsys.readouterr()
    assert "1 update, " in printed.out and only_run(tmp_path / "runs").name in printed.out
    assert "failed while closing: RuntimeError: workers are gone. Nothing else is affected." in printed.err


def test_a_clock_that_jumps_changes_nothing(train, references, tmp_path, monkeypatch, capsys):
    """The wall clock goes back by a year between two processes, and the other clock stands still."""
    assert train(*ENGINE, "--updates", "2", "--out", "runs") == 0
    folder = only_run(tmp_path / "runs")

    class Back(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) - datetime.timedelta(days=365)

    monkeypatch.setattr(directory.datetime, "datetime", Back)
    monkeypatch.setattr(time, "time", lambda real=time.time: real() - 365 * 86400)
    monkeypatch.setattr(time, "perf_counter", lambda: 7.0)
    os.utime(folder / "checkpoints/000001")
    os.utime(folder / "checkpoints/000002", (0, 0))
    assert train("--resume", str(folder), "--updates", "4") == 0
    assert "going on after update 2 of 4" in capsys.readouterr().err, "not the one that the file system calls newest"
    assert_same(folder, references("engine"), planned_shorter=True)
    timing = lines_of(folder)[-1]["timing"]
    assert timing["seconds"] == 0 and timing["steps_per_second"] is None
    assert run(["runs", "show", str(folder)]) == 0
