"""What docs/reliability.md promises when something breaks, as users see it."""

from __future__ import annotations

import datetime
import json
import os
import re
import resource
import time
from pathlib import Path

import pytest

from esper_core.cli.app import main, run
from esper_core.runs import directory
from esper_testing.distributions import FakeSite
from tests.cli.resuming import FUSED, SMALL, assert_same, only_run, without_timing
from tests.runs import forking

pytest_plugins = ["esper_testing.pytest"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The disk -----------------------------------------------------------------------------------------------------------


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
    assert_same(finished, references("fused"))


def test_a_place_that_cannot_be_written_is_said_before_any_work(train, capsys):
    assert train(*FUSED, "--out", "/proc/nothing/here") == 2
    err = capsys.readouterr().err
    assert "No run can be written to /proc/nothing/here" in err and "--out" in err and "preparing" not in err


# Numbers that are not finite ----------------------------------------------------------------------------------------

PLUGIN = """
from esper_core import ComponentSpec, hookimpl

@hookimpl
def esper_components():
    yield ComponentSpec(
        kind="loss", name="sick", factory="acme_sick.loss:Sick", config="acme_sick.config:Config", summary="ill"
    )
"""
CONFIG = """
from attrs import frozen
from esper_core.contracts.options import option
from esper_factored_ppo.config import FactoredPpoConfig

@frozen
class Config(FactoredPpoConfig):
    ill: tuple[int, ...] = option((), help="Calls at which the loss is no number.")
    leaves: int = option(0, help="Call at which it ends the process.")
"""
LOSS = """
from attrs import evolve
from esper_factored_ppo.loss import FactoredPpo

class Sick(FactoredPpo):
    calls = 0

    def __init__(self, config, context):
        super().__init__(config, context)
        self.ill, self.leaves = config.ill, config.leaves

    def __call__(self, batch, evaluation):
        self.calls += 1
        if self.calls == self.leaves:
            raise SystemExit(0)
        result = super().__call__(batch, evaluation)
        return evolve(result, loss=result.loss * float("nan")) if self.calls in self.ill else result

    def state(self):
        return {"calls": self.calls}

    def load_state(self, state):
        self.calls = state["calls"]
"""


@pytest.fixture
def sick(train, fake_site: FakeSite, tmp_path, capsys):
    """Return a function that trains with a loss that is no number at some calls, one call per update."""
    modules = {"acme_sick.plugin": PLUGIN, "acme_sick.config": CONFIG, "acme_sick.loss": LOSS}
    fake_site.install("acme-sick", {"sick": "acme_sick.plugin"}, modules=modules)

    def sick(ill: list[int], updates: int, leaves: int = 0) -> tuple[int, Path, str]:
        options = ("-o", f"loss.ill={ill}", "-o", f"loss.leaves={leaves}", "-o", "train.update_epochs=1")
        options += ("--updates", str(updates))
        code = train("--policy", "lstm-v2", "--slots", "2", "--loss", "sick", *SMALL, *options, "--out", "runs")
        return code, only_run(tmp_path / "runs"), capsys.readouterr().err

    return sick


def test_an_update_that_is_no_number_is_skipped_and_named(sick, train, capsys):
    code, folder, said = sick([2], 3)
    assert code == 0
    words = (
        "update 2 was skipped, and policy and optimiser left as they were: the loss of epoch 1 became NaN or infinite"
    )
    assert said.count(f"warning: {words}") == 1
    lines = without_timing(folder)
    assert [line["skipped_updates"] for line in lines] == [0.0, 1.0, 1.0]
    assert [[w["message"] for w in line["warnings"]] for line in lines] == [[], [words], []]
    saved = [folder / "checkpoints" / name / "policy.safetensors" for name in ("000001", "000002", "000003")]
    assert saved[0].read_bytes() == saved[1].read_bytes() != saved[2].read_bytes()
    assert run(["runs", "show", str(folder)]) == 0
    assert f"update 2: {words}" in capsys.readouterr().out


def test_three_in_a_row_end_the_run_with_the_last_good_policy(sick, train, capsys):
    code, folder, said = sick([2, 3, 4, 5], 9)
    assert code == 1
    assert (
        "Updates 2 to 4 were skipped: the loss of epoch 1 became NaN or infinite. The policy is that of update 1."
        in said
    )
    assert f"The last checkpoint is {Path('runs') / folder.name / 'checkpoints/000004'}." in said
    assert [line["update"] for line in without_timing(folder)] == [1, 2, 3, 4]
    assert train("--resume", str(folder)) == 1, "it is no better when asked again"
    assert "Updates 2 to 4" in capsys.readouterr().err
    assert len(without_timing(folder)) == 4


# Code of others ----------------------------------------------------------------------------------------------------


def test_a_component_that_ends_the_process_is_named_with_what_is_kept(sick):
    code, folder, said = sick([], 3, leaves=2)
    assert code == 3
    assert "loss 'sick' (acme-sick 1.0) failed while comparing a rollout with the policy: SystemExit: 0." in said
    assert f"The last checkpoint is {Path('runs') / folder.name / 'checkpoints/000001'}." in said
    assert [line["update"] for line in without_timing(folder)] == [1]


def test_a_failure_to_close_takes_no_result_away(train, tmp_path, monkeypatch, capsys):
    def close(self):
        raise RuntimeError("workers are gone")

    monkeypatch.setattr("esper_growth.environment.GrowthEnvironment.close", close)
    assert train("--policy", "lstm-v2", "--slots", "2", *SMALL, "--updates", "1", "--out", "runs") == 0
    printed = capsys.readouterr()
    assert "1 updates" in printed.out and only_run(tmp_path / "runs").name in printed.out
    assert "warning: environment 'growth' (" in printed.err
    assert "failed while closing: RuntimeError: workers are gone. Nothing else is affected." in printed.err


DIVERGING = ("--policy", "lstm-v2", "--slots", "2", *SMALL, "--out", "runs", "-o", "environment.host_lr=1e12")


def test_a_host_that_diverges_is_put_back_and_the_run_goes_on(train, tmp_path):
    assert train(*DIVERGING, "--updates", "1") == 0
    folder = only_run(tmp_path / "runs")
    (line,) = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
    events = [json.loads(text) for text in (folder / "events.jsonl").read_text().splitlines()]
    assert line["rolled_back"] == 1.0 and line["skipped_updates"] == 0.0
    reasons = [event["reason"] for event in events if event["type"] == "rollback"]
    assert len(reasons) == 2 and set(reasons) <= {"NOT_FINITE", "EXPLODED"}


def test_without_governor_a_host_that_diverges_is_named_and_nothing_is_lost(train, tmp_path, capsys):
    assert train(*DIVERGING, "-o", "environment.governor=false") == 1
    err = capsys.readouterr().err
    assert re.search(r"The host of environment \d \(instance \d+\) diverged: its validation loss is (nan|inf)", err)
    assert "There is no checkpoint yet." in err


# The clock ----------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_changes_nothing(train, references, tmp_path, monkeypatch, capsys):
    """The wall clock goes back by a year between two processes, and the other clock stands still."""
    assert train(*FUSED, "--updates", "2", "--out", "runs") == 0
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
    assert_same(folder, references("fused"), planned_shorter=True)
    (note,) = json.loads((folder / "run.json").read_text())["resumed"]
    assert note["when"] < json.loads((folder / "run.json").read_text())["created"]
    timing = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["timing"]
    assert timing["seconds"] == 0 and timing["steps_per_second"] is None
    for command in (["runs", "show", str(folder)], ["runs", "list", "--out", "runs"]):
        assert run(command) == 0
