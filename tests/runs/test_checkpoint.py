"""Checkpoints: continuing is exact, half of one is never believed, and what does not fit is refused with reasons."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import CheckpointMismatch, EsperError
from esper_core.learning.session import open_session
from esper_core.learning.trainer import Trainer, Update
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import best_checkpoint, list_checkpoints, load_checkpoint, save_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import content_digest, read_header
from esper_core.system.files import temporary_name

MakePlan = Callable[..., Plan]
Change = Callable[[dict[str, Any]], object]
Trained = tuple[RunDirectory, Trainer, list[Update]]


@pytest.fixture
def newest(run: RunDirectory) -> Path:
    return run.checkpoints / "000003"


@pytest.fixture(scope="module")
def fresh(plan: Plan, index: Index) -> Iterator[Trainer]:
    """A trainer that loads may fill; for tests in which nothing is loaded."""
    trainer = open_session(plan, index)
    yield trainer
    trainer.environment.close()


def rewrite(path: Path, change: Change) -> None:
    """Change a checkpoint's header as one that was written like this would read, digest and all."""
    content = json.loads((path / "state.json").read_text())
    change(content)
    content["digest"] = content_digest(content)
    (path / "state.json").write_text(json.dumps(content))


def empty_update(index: int, score: float | None) -> Update:
    return Update(index, index, {"return": score}, {}, [])


def names(run: RunDirectory) -> list[str]:
    return [path.name for path in list_checkpoints(run)]


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Continuing ---------------------------------------------------------------------------------------------------------


def test_continuing_is_exact(run: RunDirectory, trained: Trained, plan: Plan, index: Index) -> None:
    expected = content_of(run.checkpoints / "000003")
    trainer = open_session(plan, index)
    notes = load_checkpoint(run.checkpoints / "000001", trainer, plan, index)
    assert notes == ()
    again = []
    for done in trainer.run(plan.updates):
        save_checkpoint(run, trainer, done)
        again.append((done.index, done.environment_steps, done.metrics, done.events))
    trainer.environment.close()
    assert again == [(u.index, u.environment_steps, u.metrics, u.events) for u in trained[2][1:]]
    assert content_of(run.checkpoints / "000003") == expected


# Keeping ------------------------------------------------------------------------------------------------------------


def test_the_newest_three_and_the_best_are_kept(tmp_path: Path, plan: Plan, index: Index, fresh: Trainer) -> None:
    run, kept = RunDirectory.create(tmp_path, plan, index), []
    assert (best_checkpoint(run), names(run)) == (None, [])
    (run.checkpoints / temporary_name()).mkdir()  # left by a killed process
    for number, score in enumerate((0.1, 0.9, 0.2, None, 0.3, 0.9, 0.1, 0.1, 0.1, 0.1), start=1):
        save_checkpoint(run, fresh, empty_update(number, score))
        kept.append([int(name) for name in names(run)])
    assert kept[:6] == [[1], [1, 2], [1, 2, 3], [2, 3, 4], [2, 3, 4, 5], [4, 5, 6]]
    assert kept[6:] == [[5, 6, 7], [6, 7, 8], [6, 7, 8, 9], [6, 8, 9, 10]]
    best = best_checkpoint(run)
    assert best is not None and best.name == "000006"
    assert sorted(path.name for path in run.checkpoints.iterdir()) == names(run)
    (best / "state.json").write_text("{")
    save_checkpoint(run, fresh, empty_update(1_000_000, None))
    assert names(run) == ["000009", "000010", "1000000"], "a damaged one stops no other"


# Writing that fails -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "at"), [(OSError(errno.ENOSPC, "No space left on device"), 0), (KeyboardInterrupt(), 4), (OSError(), 5)]
)
def test_a_stop_at_any_file_loses_nothing(
    run: RunDirectory, fresh: Trainer, monkeypatch: pytest.MonkeyPatch, failure: BaseException, at: int
) -> None:
    before = {name: content_of(run.checkpoints / name) for name in names(run)}
    calls = 0

    def fsync(descriptor: int, real: Callable[[int], None] = os.fsync) -> None:
        nonlocal calls
        calls += 1
        if calls > at:
            raise failure
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(EsperError if isinstance(failure, OSError) else KeyboardInterrupt):
        save_checkpoint(run, fresh, empty_update(3, 9.0))
    assert calls == at + 1, "five files and their folder are waited for"
    assert {path.name: content_of(path) for path in run.checkpoints.iterdir()} == before


# Refusals -----------------------------------------------------------------------------------------------------------


def refused(newest: Path, trainer: Trainer, plan: Plan, index: Index) -> CheckpointMismatch:
    before = trainer.state().tensors["policy"]
    with pytest.raises(CheckpointMismatch) as caught:
        load_checkpoint(newest, trainer, plan, index)
    after = trainer.state().tensors["policy"]
    assert all(bool((before[name] == after[name]).all()) for name in before), "a refused checkpoint changes nothing"
    assert caught.value.exit_code == 4 and caught.value.hint
    return caught.value


def component(content: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [entry for entry in content["plan"]["components"] if entry["kind"] == kind]
    return found  # type: ignore[no-any-return]


def flip(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def one_update_less(path: Path) -> None:
    (path / "state.json").write_text((path / "state.json").read_text().replace('"update": 3', '"update": 2'))


def put_pickle(path: Path) -> None:
    foreign = pickle.dumps({"weights": [1.0, 2.0]})
    (path / "policy.safetensors").write_bytes(foreign)
    entry = {"bytes": len(foreign), "sha256": hashlib.sha256(foreign).hexdigest()}
    rewrite(path, lambda content: content["files"].update({"policy.safetensors": entry}))


def newer_weights(content: dict[str, Any]) -> None:
    content["weights_versions"]["network/lstm-v2"] = 7
    content["distributions"]["esper-lstm-v2"]["version"] = "9.7"


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped bit": (lambda path: flip(path / "optimiser.safetensors"), r"optimiser\.safetensors is damaged: .* digest"),
    "truncated": (lambda path: os.truncate(path / "rng.safetensors", 9), "damaged: it has 9 bytes"),
    "missing file": (lambda path: (path / "normaliser.safetensors").unlink(), "normaliser.*: No such file"),
    "pickle": (put_pickle, r"policy\.safetensors is not a safetensors file"),
    "no header": (lambda path: (path / "state.json").unlink(), "is not a checkpoint"),
    "torn": (lambda path: os.truncate(path / "state.json", 99), r"state\.json.* is damaged"),
    "altered": (one_update_less, "was altered: its digest is"),
    "foreign": (lambda path: (path / "state.json").write_text('{"epoch": 3}'), "was not written by esper"),
    "older": (lambda path: (path / "state.json").write_text('{"schema": 1}'), "has schema 1; .* esper-core reads 2"),
}


@pytest.mark.parametrize(("alter", "words"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_checkpoint_is_refused(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, alter: Callable[[Path], object], words: str
) -> None:
    alter(newest)
    assert re.search(words, refused(newest, fresh, plan, index).message)


REWRITTEN: dict[str, tuple[Change, str, str]] = {
    "no counters": (lambda c: c["counters"].pop("used"), "does not fit: KeyError: 'used'", ""),
    "elsewhere": (
        lambda c: c["files"].update({"../000002/rng.safetensors": c["files"].pop("policy.safetensors")}),
        "000003/rng.safetensors is damaged",
        "",
    ),
    "features": (
        lambda c: c["feature_schema"].update(digest="0123456789abcdef"),
        "  feature schema +0123456789abcdef",
        'The source of esper-obs-v3 has changed under the same version.*--force-reinstall "esper-obs-v3==[0-9.]+"$',
    ),
    "actions": (lambda c: c["actions"].update(digest="01234567"), "  actions +01234567", "esper-growth has changed"),
    "weights": (newer_weights, "weights of network/lstm-v2 +version 7", 'pip install "esper-lstm-v2==9.7"$'),
    "option": (lambda c: component(c, "network")["config"].update(depth=3), "options of network/lstm-v2", ""),
    "trainer": (lambda c: c["plan"]["train"].update(momentum=0.9), "momentum", "esper-core"),
    "renamed": (lambda c: c["plan"]["train"].update(passes=4), "'train.passes' is called 'train.update_epochs'", ""),
}


@pytest.mark.parametrize(("change", "words", "hint"), REWRITTEN.values(), ids=REWRITTEN)
def test_a_checkpoint_of_something_else_is_refused(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, change: Change, words: str, hint: str
) -> None:
    rewrite(newest, change)
    with contextlib.suppress(CheckpointMismatch):
        plan = read_header(newest).plan
    error = refused(newest, fresh, plan, index)
    assert re.search(words, error.message) and re.search(hint, error.hint), str(error)


@pytest.mark.parametrize(
    ("said", "words", "hint"),
    [
        ({"slots": "3"}, r"slots \(2 → 3\) +r0c0, r0c1 +r0c0, r0c1, r0c2", "--slots r0c0,r0c1, or train"),
        (
            {"uses": {"critic": "state-value"}},
            "critic +op-conditioned-critic +state",
            "--use critic=op-conditioned-critic",
        ),
    ],
)
def test_another_plan_is_refused(
    newest: Path, fresh: Trainer, plan_for: MakePlan, index: Index, said: dict[str, Any], words: str, hint: str
) -> None:
    error = refused(newest, fresh, plan_for(**said), index)
    assert re.search(words, error.message) and re.search(hint, error.hint), str(error)


def test_a_missing_plugin_is_named_with_the_command(newest: Path, fresh: Trainer, plan: Plan, index: Index) -> None:
    left = evolve(index, components=[c for c in index.components if c.distribution != "esper-lstm-v2"])
    error = refused(newest, fresh, plan, left)
    assert re.search("network 'lstm-v2'.* not installed", error.message)
    assert 'pip install "esper-lstm-v2==' in error.hint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["distributions"]["esper-obs-v3"].update(version="0.0.9"), "the checkpoint was written with 0.0.9"),
        (lambda c: c["distributions"]["esper-obs-v3"].update(source="0" * 16), "with 0.1.0 (source 0000000000000000)."),
        (lambda c: c["libraries"].update(torch="1.0"), "the checkpoint was written with 1.0, so numbers may differ"),
        (lambda c: component(c, "loss").update(name="former"), "the checkpoint was written with 'former'."),
    ],
)
def test_another_version_source_or_loss_is_noted(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, change: Change, words: str
) -> None:
    rewrite(newest, change)
    (note,) = load_checkpoint(newest, fresh, plan, index)
    assert words in note


def test_what_says_no_source_is_compared_by_version(newest: Path, fresh: Trainer, plan: Plan, index: Index) -> None:
    def forget(content: dict[str, Any]) -> None:
        for entry in content["distributions"].values():
            del entry["source"]

    rewrite(newest, forget)
    assert load_checkpoint(newest, fresh, plan, index) == ()
    rewrite(newest, lambda content: content["distributions"]["esper-obs-v3"].update(version="0.0.9"))
    (note,) = load_checkpoint(newest, fresh, plan, index)
    assert note == "esper-obs-v3 is 0.1.0; the checkpoint was written with 0.0.9."
