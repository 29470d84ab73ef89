"""What every observer must do."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import torch

from esper_core.learning.session import open_session
from esper_core.learning.trainer import Update
from esper_core.runs.directory import RunDirectory
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite

SUITE = Suite("observer", ("watches-a-run", "changes-nothing", "draws-nothing", "survives-an-early-end"))

UPDATES = 2


@SUITE.check("watches-a-run")
def watches_a_run(subject: Subject) -> None:
    """It takes in a run from its start over every update to its end."""
    _watch(subject, _updates(subject))


@SUITE.check("changes-nothing", after=("watches-a-run",))
def changes_nothing(subject: Subject) -> None:
    """What it is shown stays as it is, since others are shown the same."""
    updates = _updates(subject)
    before = copy.deepcopy(updates)
    _watch(subject, updates)
    changed = [update.index for update, was in zip(updates, before, strict=True) if update != was]
    assert not changed, f"it changed update {changed[0]}"


@SUITE.check("draws-nothing", after=("watches-a-run",))
def draws_nothing(subject: Subject) -> None:
    """It takes nothing from torch's random numbers, so a watched run is the same run."""
    updates = _updates(subject)
    before = torch.get_rng_state()
    _watch(subject, updates)
    assert torch.equal(torch.get_rng_state(), before), "torch's random state is another after it watched"


@SUITE.check("survives-an-early-end", after=("watches-a-run",))
def survives_an_early_end(subject: Subject) -> None:
    """A run that ends before its first update is watched too."""
    _watch(subject, [])


def _watch(subject: Subject, updates: list[Update]) -> None:
    plan = subject.plan(updates=UPDATES)
    with tempfile.TemporaryDirectory(prefix="esper-") as folder:
        run = RunDirectory.create(Path(folder), plan, subject.full_index)
        observer: Any = subject.build()
        observer.on_start(run)
        for update in updates:
            run.append_metrics(update)
            observer.on_update(update)
        observer.on_finish(run)


def _updates(subject: Subject) -> list[Update]:
    """Return real updates, of the reference components."""
    with torch.random.fork_rng(devices=[]):
        trainer = open_session(subject.plan(updates=UPDATES), subject.full_index)
        return list(trainer.run(UPDATES))
