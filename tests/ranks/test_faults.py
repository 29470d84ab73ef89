"""Whatever happens to a rank, nobody waits for ever, somebody says what it was, and a run goes on exactly."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve

from esper_core.ranks import agreement, group
from esper_core.ranks.acting import SharedPolicy
from esper_gymnasium_env.group import Group
from tests.cli.resuming import assert_same, lines_of, only_run
from tests.ranks.launched import Rank, command, ended, launch, trained

RUN = (
    *("--policy", "mlp", "--environment", "gymnasium", "--envs", "4", "-o", "train.rollout_steps=24"),
    *("--updates", "5", "-o", "network.widths=[16]"),
)
TRAIN = ("train", "--plain", "--no-tensorboard", *RUN)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "cache"))


def patched(change: Callable[[int], Any], *words: str) -> Callable[[int], None]:
    """Return what a rank runs: the command, after its process was changed."""

    def call(rank: int) -> None:
        change(rank)
        command(*words)(rank)

    return call


def on(rank: int, change: Callable[[], Any]) -> Callable[[int], Any]:
    return lambda here: change() if here == rank else None


def checkpoints(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("*/checkpoints/0*"))


def wait_for(out: Path, count: int, ranks: list[Rank]) -> None:
    """Wait until so many checkpoints were written, or a rank has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and all(rank.process.is_alive() for rank in ranks):
        if (names := checkpoints(out)) and int(names[-1]) >= count:
            return
        time.sleep(0.02)


def slowly() -> None:
    """Let a step take long enough to be met in the middle of it."""
    step = Group.step

    def slow(self: Group, *arguments: Any) -> Any:
        time.sleep(0.01)
        return step(self, *arguments)

    Group.step = slow  # type: ignore[method-assign]


# What ends a run ------------------------------------------------------------------------------------------------------


def failing_at(step: int) -> Callable[[], None]:
    def change() -> None:
        taken, real = 0, Group.step

        def fail(self: Group, *arguments: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken > step:
                raise ValueError("the pole is made of glass")
            return real(self, *arguments)

        Group.step = fail  # type: ignore[method-assign]

    return change


@pytest.mark.parametrize("rank", [0, 1])
def test_an_exception_on_one_rank_ends_all_with_its_message(tmp_path: Path, rank: int) -> None:
    ranks = launch(2, patched(on(rank, failing_at(30)), *TRAIN), tmp_path / "said")
    statuses = ended(ranks, 30)
    assert all(statuses), statuses
    assert "the pole is made of glass" in ranks[rank].said
    if rank:
        assert "Error: Rank 1 of 2: " in ranks[1].said
        assert "Error: Rank 0 of 2 waited for rank 1, which is gone." in ranks[0].said
        assert "The last checkpoint is" in ranks[0].said
    else:
        assert "Error: Rank 1 of 2 waited for rank 0, which is gone." in ranks[1].said


@pytest.mark.slow
def test_a_full_disk_of_rank_0_ends_all_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    def fill() -> None:
        write, fsync = os.write, os.fsync

        def full(descriptor: int, content: Any) -> int:
            if stat.S_ISREG(os.fstat(descriptor).st_mode) and len(checkpoints(tmp_path / "runs")) >= 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, content)

        os.write, os.fsync = full, fsync

    ranks = launch(2, patched(on(0, fill), *TRAIN), tmp_path / "said")
    assert ended(ranks, 30) == [1, 0]
    assert "No space left on device" in ranks[0].said and "Make room" in ranks[0].said and not ranks[1].said
    assert checkpoints(tmp_path / "runs") == ["000001", "000002"]
    trained(2, tmp_path, *RUN, "--resume", "auto")
    trained(1, tmp_path, *RUN, "--out", "straight")
    assert_same(only_run(tmp_path / "runs"), only_run(tmp_path / "straight"))


def test_what_is_not_finite_on_one_rank_is_skipped_everywhere(tmp_path: Path) -> None:
    def spoil() -> None:
        real, calls = SharedPolicy.get_action, 0

        def spoiled(self: SharedPolicy, *arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls, acted = calls + 1, real(self, *arguments, **more)
            if calls == 30:  # in the second update
                acted.distribution.logits["action"][0] = torch.nan
            return acted

        SharedPolicy.get_action = spoiled  # type: ignore[method-assign]

    ranks = launch(2, patched(on(1, spoil), *TRAIN), tmp_path / "said")
    assert ended(ranks) == [0, 0], ranks[0].said + ranks[1].said
    assert [line["skipped_updates"] for line in lines_of(only_run(tmp_path / "runs"))] == [0, 1, 1, 1, 1]
    assert "update 2 was skipped" in ranks[0].said and not ranks[1].said


# What is gone on with -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    ranks = launch(2, patched(lambda rank: slowly(), *TRAIN), tmp_path / "said")
    wait_for(tmp_path / "runs", 1, ranks)
    for rank in ranks:
        rank.process.terminate()
    assert ended(ranks, 30) == [128 + signal.SIGTERM, -signal.SIGTERM]
    assert "Stopped in update" in ranks[0].said and "The last checkpoint is runs/" in ranks[0].said
    trained(3, tmp_path, *RUN, "--resume", "auto")
    trained(1, tmp_path, *RUN, "--out", "straight")
    assert_same(only_run(tmp_path / "runs"), only_run(tmp_path / "straight"))


@pytest.mark.slow
def test_ranks_that_are_killed_anywhere_are_started_again_and_the_run_is_the_same(tmp_path: Path) -> None:
    trained(1, tmp_path, *RUN, "--out", "straight")
    draw, killed = random.Random(0), 0
    while killed < 10:
        ranks = launch(2, patched(lambda rank: slowly(), *TRAIN, "--resume", "auto"), tmp_path / "said")
        victim = draw.randrange(2)
        time.sleep(draw.uniform(0.2, 4.0))
        if all(rank.process.is_alive() for rank in ranks):
            ranks[victim].process.kill()
            ranks[1 - victim].process.terminate()  # as a launcher does
            killed += 1
        statuses = ended(ranks, 30)
        if statuses == [0, 0]:  # it was sooner than we: begin another, which is killed too
            assert_same(only_run(tmp_path / "runs"), only_run(tmp_path / "straight"))
            shutil.rmtree(tmp_path / "runs")
    trained(2, tmp_path, *RUN, "--resume", "auto")
    assert_same(only_run(tmp_path / "runs"), only_run(tmp_path / "straight"))


@pytest.mark.slow
def test_torchrun_starts_all_again_when_one_is_killed(tmp_path: Path) -> None:
    trained(1, tmp_path, *RUN, "--out", "straight")
    words = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "3"]
    bin_ = Path(sys.executable).parent
    line = [str(bin_ / "torchrun"), *words, "--no-python", str(bin_ / "esper"), *TRAIN, "--resume", "auto"]
    said = tmp_path / "torchrun.txt"
    with said.open("w") as file:
        process = subprocess.Popen(line, stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 60
        while not checkpoints(tmp_path / "runs") and time.monotonic() < deadline:
            time.sleep(0.01)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        os.kill(int(children.stdout.split()[-1]), signal.SIGKILL)
        assert process.wait(120) == 0, said.read_text()
    assert_same(only_run(tmp_path / "runs"), only_run(tmp_path / "straight"))


# Ranks that do not find each other, or are not alike ------------------------------------------------------------------


def test_who_cannot_reach_the_others_says_where_and_which_variable(tmp_path: Path) -> None:
    def only_the_second(rank: int) -> None:
        if rank:
            command(*TRAIN)(rank)

    _, second = ranks = launch(2, only_the_second, tmp_path / "said", MASTER_ADDR="no-such-host.invalid")
    assert ended(ranks) == [0, 2]
    assert "Rank 1 of 2 cannot reach the others at no-such-host.invalid:" in second.said
    assert "MASTER_ADDR and MASTER_PORT" in second.said


def test_who_waits_for_others_in_vain_says_so(tmp_path: Path) -> None:
    def only_the_first(rank: int) -> None:
        group.JOIN_SECONDS = 2.0
        if not rank:
            command(*TRAIN)(rank)

    first, _ = ranks = launch(2, only_the_first, tmp_path / "said")
    assert ended(ranks)[0] == 2
    assert ("Were all 2 started?" in first.said and not (tmp_path / "runs").exists()) or not only_runs(tmp_path)


def only_runs(folder: Path) -> list[Path]:
    return [path for path in (folder / "runs").iterdir() if (path / "run.json").exists()]


def test_several_machines_on_a_loopback_are_refused_by_name(tmp_path: Path) -> None:
    ranks = launch(2, command(*TRAIN), tmp_path / "said", GROUP_WORLD_SIZE="2", GLOO_SOCKET_IFNAME="lo")
    assert ended(ranks) == [2, 2]
    assert all("2 machines, but GLOO_SOCKET_IFNAME is 'lo'" in rank.said for rank in ranks)


def test_another_source_on_one_rank_is_refused_with_a_table(tmp_path: Path) -> None:
    def change() -> None:
        real = agreement.Facts.here

        def other(*arguments: Any) -> agreement.Facts:
            known = real(*arguments)
            return evolve(known, machine="elsewhere", installed={**known.installed, "esper-core": "1.0 (source 0123)"})

        agreement.Facts.here = other  # type: ignore[method-assign, assignment]

    ranks = launch(2, patched(on(1, change), *TRAIN), tmp_path / "said")
    assert ended(ranks) == [2, 2]
    (row,) = (line for line in ranks[0].said.splitlines() if "esper-core" in line)
    assert row.split()[-7:] == ["rank", "1", "on", "elsewhere", "1.0", "(source", "0123)"]
    assert not ranks[1].said and not only_runs(tmp_path)


DRAWN = ("train", "--plain", "--policy", "lstm-slots", "--environment", "growth", "--slots", "1,2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            (*TRAIN, "-o", "environment.normalise_obs=true", "--features", "gymnasium"),
            "'gymnasium' .* cannot be shared out",
        ),
        ((*TRAIN, "--envs", "1"), "--envs is 1, the environments of all 2 ranks together"),
        (DRAWN, "--slots 1,2 draws a number of slots for each update, in one process only"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    import re

    from esper_core.cli import app

    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert app.run(words) == 2
    assert re.search(said, capsys.readouterr().err)


# Two network namespaces as two machines -------------------------------------------------------------------------------


@pytest.fixture
def two_machines() -> Any:
    """Make two network namespaces with a cable between them; their names and addresses."""
    names = [f"esper{os.getpid()}{end}" for end in "ab"]
    lines = [
        *(f"ip netns add {name}" for name in names),
        f"ip link add {names[0]} type veth peer name {names[1]}",
        *(f"ip link set {name} netns {name}" for name in names),
        *(f"ip -n {name} addr add 10.77.0.{n}/24 dev {name}" for n, name in enumerate(names, start=1)),
        *(f"ip -n {name} link set {link} up" for name in names for link in ("lo", name)),
    ]
    try:
        for line in lines:
            if subprocess.run(line.split(), capture_output=True, check=False).returncode:
                pytest.skip("this system lets nobody make network namespaces")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ip") is None, reason="there is no ip command")
def test_two_machines_train_what_one_process_does(tmp_path: Path, two_machines: list[str]) -> None:
    trained(1, tmp_path, *RUN, "--out", "straight")
    bin_, processes = Path(sys.executable).parent, []
    for number, name in enumerate(two_machines):
        line = ["ip", "netns", "exec", name, str(bin_ / "torchrun"), "--nnodes", "2", "--node-rank", str(number)]
        line += ["--nproc-per-node", "1", "--master-addr", "10.77.0.1", "--master-port", "29401", "--no-python"]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": name}
        with (tmp_path / f"node-{number}").open("w") as file:
            processes.append(
                subprocess.Popen([*line, str(bin_ / "esper"), *TRAIN], stdout=file, stderr=file, env=variables)
            )
    try:
        statuses = [process.wait(120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert statuses == [0, 0], [(tmp_path / f"node-{number}").read_text() for number in range(2)]
    assert_same(only_run(tmp_path / "runs"), only_run(tmp_path / "straight"))
