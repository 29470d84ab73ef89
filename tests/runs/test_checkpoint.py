"""Checkpoints: continuing is exact, half of one is never believed, and what does not fit is refused with reasons."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from esper_core.contracts.errors import CheckpointMismatch, EsperError, PluginError
from esper_core.learning.session import open_session
from esper_core.learning.trainer import Trainer, Update
from esper_core.plan.plan import Plan
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import (
    best_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import content_digest, read_header
from esper_core.system.files import temporary_name

MakePlan = Callable[..., Plan]
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


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
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


class Worldly:
    """Features that have a state."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.kept = state

    def state(self) -> dict[str, Any]:
        return self.kept

    def load_state(self, state: dict[str, Any]) -> None:
        self.kept = state


STATE = {"best": -math.inf, "last": math.nan, "zero": -0.0, "big": 2**70, "random": (3, (1, 2), None), "$float": "x"}


def test_the_state_of_a_component_is_kept_exactly(
    run: RunDirectory, fresh: Trainer, plan: Plan, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    stateful = Worldly(STATE)
    monkeypatch.setitem(fresh._resumable, "features", stateful)
    path = save_checkpoint(run, fresh, empty_update(4, None))
    stateful.kept = {}
    load_checkpoint(path, fresh, plan, index)
    assert repr(stateful.kept) == repr(STATE)


def test_a_state_that_cannot_be_kept_is_its_plugins_fault(
    run: RunDirectory, fresh: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fresh._resumable, "features", Worldly({"seen": [{1, 2}]}))
    before = names(run)
    with pytest.raises(PluginError, match=r"features '.*' \(.*\) breaks its contract: .* a set at 'seen\[0\]'"):
        save_checkpoint(run, fresh, empty_update(4, None))
    assert names(run) == before


def test_counters_that_only_look_written_are_damage(newest: Path) -> None:
    rewrite(newest, lambda content: content["counters"].update(seed={"$float": "1"}))
    with pytest.raises(CheckpointMismatch, match=r"state\.json is damaged"):
        _ = read_header(newest).counters


@pytest.mark.parametrize("update", [1])
def test_continuing_is_exact(run: RunDirectory, trained: Trained, plan: Plan, index: Index, update: int) -> None:
    _, _, updates = trained
    expected = content_of(run.checkpoints / "000003")
    trainer = open_session(plan, index)
    loaded = load_checkpoint(run.checkpoints / f"{update:06d}", trainer, plan, index)
    assert (loaded.header.update, loaded.header.plan, loaded.notes) == (update, plan, ())
    again = []
    for done in trainer.run(plan.updates):
        save_checkpoint(run, trainer, done)
        again.append(done)
    trainer.environment.close()
    told = [(u.index, u.environment_steps, u.metrics, u.events) for u in updates[update:]]
    assert [(u.index, u.environment_steps, u.metrics, u.events) for u in again] == told
    assert content_of(run.checkpoints / "000003") == expected


def test_the_header_says_what_is_in_it(newest: Path, trained: Trained, plan: Plan) -> None:
    header = read_header(newest)
    assert (header.update, header.score) == (3, trained[2][2].metrics["return"])
    assert header.plan == plan and header.content["environment_steps"] == 18
    groups = ("normaliser", "optimiser", "policy", "rng")
    assert {path.name for path in newest.iterdir()} == {"state.json", *(f"{group}.safetensors" for group in groups)}
    for name, entry in header.content["files"].items():
        data = (newest / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_the_header_is_read_without_torch(run: RunDirectory) -> None:
    code = (
        "import sys, pathlib; sys.modules.update(dict.fromkeys(('torch', 'numpy', 'safetensors'), None))\n"
        "from esper_core.runs.checkpoint import *\nfrom esper_core.runs.directory import RunDirectory\n"
        "run = RunDirectory.open(pathlib.Path(sys.argv[1]))\n"
        "print([read_header(path).update for path in list_checkpoints(run)], best_checkpoint(run).name)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[1, 2, 3] 00000")


# Keeping ------------------------------------------------------------------------------------------------------------


def test_the_newest_three_and_the_best_are_kept(tmp_path: Path, plan: Plan, index: Index, fresh: Trainer) -> None:
    run = RunDirectory.create(tmp_path, plan, index)
    kept = []
    for number, score in enumerate((0.1, 0.9, 0.2, None, 0.3, 0.9, 0.1, 0.1, 0.1, 0.1), start=1):
        save_checkpoint(run, fresh, empty_update(number, score))
        kept.append([int(name) for name in names(run)])
    assert kept[:6] == [[1], [1, 2], [1, 2, 3], [2, 3, 4], [2, 3, 4, 5], [4, 5, 6]]
    assert kept[6:] == [[5, 6, 7], [6, 7, 8], [6, 7, 8, 9], [6, 8, 9, 10]]
    best = best_checkpoint(run)
    assert best is not None and best.name == "000006"
    assert sorted(path.name for path in run.checkpoints.iterdir()) == names(run)


def test_without_any_return_there_is_no_best(tmp_path: Path, plan: Plan, index: Index, fresh: Trainer) -> None:
    run = RunDirectory.create(tmp_path, plan, index)
    assert (best_checkpoint(run), names(run)) == (None, [])
    for number in range(1, 6):
        save_checkpoint(run, fresh, empty_update(number, None))
    assert best_checkpoint(run) is None and names(run) == ["000003", "000004", "000005"]


def test_names_sort_by_number_beyond_a_million(tmp_path: Path, plan: Plan, index: Index, fresh: Trainer) -> None:
    run = RunDirectory.create(tmp_path, plan, index)
    for number in (999_999, 1_000_000):
        save_checkpoint(run, fresh, empty_update(number, None))
    assert names(run) == ["999999", "1000000"]


def test_a_damaged_checkpoint_stops_no_other(run: RunDirectory, fresh: Trainer) -> None:
    (run.checkpoints / "000002" / "state.json").write_text("{")
    save_checkpoint(run, fresh, empty_update(4, -9.0))
    assert "000004" in names(run)


def test_what_a_killed_process_left_is_never_seen_and_swept_away(run: RunDirectory, fresh: Trainer) -> None:
    leftover = run.checkpoints / temporary_name()
    leftover.mkdir()
    (leftover / "state.json").write_text("{")
    assert names(run) == ["000001", "000002", "000003"]
    save_checkpoint(run, fresh, empty_update(4, 9.0))
    assert not leftover.exists() and names(run)[-1] == "000004"


# Writing that fails -------------------------------------------------------------------------------------------------


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, previous)


def test_a_file_that_cannot_be_written_loses_nothing(run: RunDirectory, fresh: Trainer) -> None:
    before = {name: content_of(run.checkpoints / name) for name in names(run)}
    with file_size_limit(1000), pytest.raises(EsperError, match="000004 cannot be written: File too large") as caught:
        save_checkpoint(run, fresh, empty_update(4, 9.0))
    assert "earlier checkpoints are untouched" in caught.value.hint
    assert {path.name: content_of(path) for path in run.checkpoints.iterdir()} == before


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [0, 4, 5])
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


Alter = Callable[[Path], object]


def rewritten(change: Callable[[dict[str, Any]], object]) -> Alter:
    """Return what changes a header as one that was written like this would read, digest and all."""
    return lambda path: rewrite(path, change)


def component(content: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [entry for entry in content["plan"]["components"] if entry["kind"] == kind]
    return found  # type: ignore[no-any-return]


def text(content: str) -> Alter:
    return lambda path: (path / "state.json").write_text(content)


def flip(path: Path) -> None:
    file = path / "optimiser.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def alter_counters(path: Path) -> None:
    content = json.loads((path / "state.json").read_text())
    content["counters"]["updates_done"] = 2
    (path / "state.json").write_text(json.dumps(content))


def point_elsewhere(path: Path) -> None:
    (path / "policy.safetensors").unlink()
    name = "../000002/policy.safetensors"
    rewrite(path, lambda content: content["files"].update({name: content["files"].pop("policy.safetensors")}))


def put_pickle(path: Path) -> None:
    foreign = pickle.dumps({"weights": [1.0, 2.0]})
    (path / "policy.safetensors").write_bytes(foreign)
    entry = {"bytes": len(foreign), "sha256": hashlib.sha256(foreign).hexdigest()}
    rewrite(path, lambda content: content["files"].update({"policy.safetensors": entry}))


def newer_weights(content: dict[str, Any]) -> None:
    content["weights_versions"]["network/lstm-v2"] = 7
    content["distributions"]["esper-lstm-v2"]["version"] = "9.7"


ALTERED: dict[str, tuple[Alter, tuple[str, ...], str]] = {
    "flipped bit": (flip, ("optimiser.safetensors is damaged", "digest"), ""),
    "truncated": (
        lambda path: (path / "rng.safetensors").write_bytes((path / "rng.safetensors").read_bytes()[:-3]),
        ("rng.safetensors is damaged: it has",),
        "Use another checkpoint of the run.",
    ),
    "missing file": (lambda path: (path / "normaliser.safetensors").unlink(), ("normaliser", "No such file"), ""),
    "elsewhere": (point_elsewhere, ("000003/policy.safetensors cannot be read",), ""),
    "pickle": (put_pickle, ("policy.safetensors is not a safetensors file",), ""),
    "no header": (lambda path: (path / "state.json").unlink(), ("is not a checkpoint",), ""),
    "altered": (alter_counters, ("state.json was altered: its digest is",), ""),
    "empty": (text(""), ("is damaged",), ""),
    "torn": (text('{"schema": 1, "upd'), ("is damaged",), ""),
    "list": (text("[1]"), ("was not written by esper",), ""),
    "foreign": (text('{"epoch": 3, "model": "policy.pt"}'), ("was not written by esper",), ""),
    "older": (text('{"schema": 1, "files": {}}'), ("has schema 1; this version of esper-core reads 2",), "esper-core"),
    "newer": (text('{"schema": 3, "files": {}}'), ("has schema 3; this version of esper-core reads 2",), "esper-core"),
    "no counters": (rewritten(lambda content: content.pop("counters")), ("'counters' is missing",), ""),
    "no plan": (rewritten(lambda content: content.pop("plan")), ("'plan' is missing",), ""),
    "features": (
        rewritten(lambda content: content["feature_schema"].update(digest="0123456789abcdef")),
        ("  feature schema", "0123456789abcdef"),
        'The source of esper-obs-v3 has changed under the same version.*--force-reinstall "esper-obs-v3==[0-9.]+"$',
    ),
    "actions": (
        rewritten(lambda content: content["actions"].update(digest="0123456789abcdef")),
        ("  actions", "0123456789abcdef"),
        'The source of esper-growth has changed under the same version.*--force-reinstall "esper-growth==[0-9.]+"$',
    ),
    "weights": (
        rewritten(newer_weights),
        ("weights of network/lstm-v2", "version 7"),
        '^Install what it was written with: pip install "esper-lstm-v2==9.7"$',
    ),
    "option": (
        rewritten(lambda content: component(content, "network")["config"].update(depth=3)),
        ("options of network/lstm-v2", "'network.depth'"),
        "",
    ),
    "trainer": (rewritten(lambda content: content["plan"]["train"].update(momentum=0.9)), ("momentum",), "esper-core"),
    "renamed": (
        rewritten(lambda content: content["plan"]["train"].update(passes=4)),
        ("'train.passes' is called 'train.update_epochs' now.",),
        "^It was written with another source of esper-core .*: use that, or train again",
    ),
}


@pytest.mark.parametrize(("alter", "words", "hint"), ALTERED.values(), ids=ALTERED)
def test_a_checkpoint_that_was_altered_is_refused(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, alter: Alter, words: tuple[str, ...], hint: str
) -> None:
    alter(newest)
    with contextlib.suppress(CheckpointMismatch):
        plan = read_header(newest).plan
    error = refused(newest, fresh, plan, index)
    assert all(word in error.message for word in words), error.message
    assert re.search(hint, error.hint), error.hint


@pytest.mark.parametrize(
    ("said", "words", "hint"),
    [
        (
            {"slots": "3"},
            (r"slots \(2 → 3\) +r0c0, r0c1 +r0c0, r0c1, r0c2", "feature schema", "actions"),
            "what was trained with 2 loads with 2 .*Use --slots r0c0,r0c1, or train a new run with 3",
        ),
        ({"slots": "r0c0,r0c2"}, ("r0c0, r0c2",), "Use --slots r0c0,r0c1|use --slots r0c0,r0c1"),
        (
            {"uses": {"critic": "state-value"}},
            (r"critic +op-conditioned-critic +state-value",),
            "^Use --use critic=op-conditioned-critic\\.$",
        ),
    ],
)
def test_another_plan_is_refused(
    newest: Path, fresh: Trainer, plan_for: MakePlan, index: Index, said: dict[str, Any], words: Any, hint: str
) -> None:
    error = refused(newest, fresh, plan_for(**said), index)
    assert all(re.search(word, error.message) for word in words), error.message
    assert re.search(hint, error.hint), error.hint


@pytest.mark.parametrize(
    ("kind", "words"), [("network", "network 'lstm-v2'.* not installed"), ("loss", "loss 'factored-ppo'")]
)
def test_a_missing_plugin_is_named_with_the_command(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, kind: str, words: str
) -> None:
    (gone,) = {c.distribution for c in plan.of_kind(kind)}
    left = evolve(index, components=[c for c in index.components if c.distribution != gone])
    error = refused(newest, fresh, plan, left)
    assert re.search(words, error.message) and f'pip install "{gone}==' in error.hint


def test_verifying_needs_no_torch_and_names_the_damaged_file(newest: Path) -> None:
    assert verify_checkpoint(newest).update == 3
    flip(newest)
    with pytest.raises(CheckpointMismatch, match=r"optimiser\.safetensors is damaged"):
        verify_checkpoint(newest)


def test_other_widths_are_refused(newest: Path, plan_for: MakePlan, index: Index) -> None:
    wider = plan_for(options=["network.hidden_dim=32"])
    trainer = open_session(wider, index)
    error = refused(newest, trainer, wider, index)
    trainer.environment.close()
    assert "tensor 'critic.hidden.bias' is (8,) there and (16,) here" in error.message


# Differences that do not matter enough ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["distributions"]["esper-obs-v3"].update(version="0.0.9"), "the checkpoint was written with 0.0.9"),
        (lambda c: c["distributions"]["esper-obs-v3"].update(source="0" * 16), "The source of esper-obs-v3"),
        (lambda c: c["libraries"].update(torch="1.0"), "the checkpoint was written with 1.0, so numbers may differ"),
        (
            lambda c: component(c, "loss").update(name="former-loss"),
            "The loss is 'factored-ppo'; the checkpoint was written with 'former-loss'.",
        ),
    ],
)
def test_another_version_source_or_loss_is_noted(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    rewrite(newest, change)
    (note,) = load_checkpoint(newest, fresh, plan, index).notes
    assert words in note
