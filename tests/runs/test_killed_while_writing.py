"""A process killed at any moment of writing leaves a run that can be resumed, and no half-written file is believed."""

from __future__ import annotations

import itertools
import shutil
import signal
from pathlib import Path

import pytest

from esper_core.composition.plan import Plan
from esper_core.learning.trainer import Trainer, Update
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import list_checkpoints, save_checkpoint, verify_checkpoint
from esper_core.runs.directory import RunDirectory, list_runs
from esper_core.runs.resume import find_resumption
from tests.runs import forking

Trained = tuple[RunDirectory, Trainer, list[Update]]


def persist(run: RunDirectory, trainer: Trainer, update: Update, step: int) -> None:
    """Write an update as training does, in a process that dies at a moment."""
    forking.patch_writes(forking.dying_at(step))
    run.append_events(update)
    run.append_metrics(update)
    save_checkpoint(run, trainer, update)


def go_back(run: RunDirectory, index: Index, step: int) -> None:
    """Go on from update 2, in a process that dies at a moment."""
    forking.patch_writes(forking.dying_at(step))
    find_resumption(run, index, at=2, updates=9).drop_later(index, {"device": "cpu"})


def state_of(path: Path) -> list[tuple[str, bytes]]:
    return [(str(file.relative_to(path)), file.read_bytes()) for file in sorted(path.rglob("*")) if file.is_file()]


def copied(run: RunDirectory, step: int) -> RunDirectory:
    return RunDirectory.open(shutil.copytree(run.path, run.path.parent / f"{run.name}-{step}"))


def test_killed_while_saving(run: RunDirectory, trained: Trained, index: Index) -> None:
    _, trainer, updates = trained
    fourth, seen = Update(4, 24, updates[-1].metrics, updates[-1].timing, updates[-1].events), set()
    for step in itertools.count():
        copy = copied(run, step)
        code = forking.call(persist, copy, trainer, fourth, step)
        newest = [verify_checkpoint(path).update for path in list_checkpoints(copy)][-1]
        resumption = find_resumption(copy, index, at=None, updates=9)
        assert resumption.update == newest and not resumption.notes
        resumption.drop_later(index, {"device": "cpu"})
        assert [line["update"] for line in copy.metrics()] == list(range(1, newest + 1))
        assert {event["update"] for event in copy.events()} == set(range(1, newest + 1))
        seen.add(newest)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert step > 20 and seen == {3, 4}, "it died before and after the new checkpoint was there"


def test_killed_while_going_back(run: RunDirectory, plan: Plan, index: Index) -> None:
    lines = [line for line in run.metrics() if line["update"] <= 2]
    for step in itertools.count():
        copy = copied(run, step)
        code = forking.call(go_back, copy, index, step)
        again = RunDirectory.open(copy.path)
        assert again.plan.updates in (plan.updates, 9)
        assert find_resumption(again, index, at=None, updates=None).update in (2, 3)
        find_resumption(again, index, at=2, updates=None).drop_later(index, {"device": "cpu"})
        assert again.metrics() == lines and {event["update"] for event in again.events()} == {1, 2}
        assert [path.name for path in list_checkpoints(again)] == ["000001", "000002"]
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert step > 5


@pytest.mark.parametrize("step", [0, 3])
def test_a_new_run_that_was_killed_while_it_was_begun_is_no_run(
    tmp_path: Path, plan: Plan, index: Index, step: int
) -> None:
    def begin() -> None:
        forking.patch_writes(forking.dying_at(step))
        RunDirectory.create(tmp_path, plan, index)

    assert forking.call(begin) == -signal.SIGKILL
    assert list_runs(tmp_path) == ([], [])
