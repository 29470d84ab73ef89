"""Checkpoints: continuing is exact, half of one is never believed, and what does not fit is refused with reasons."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import pickle
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


def version_of(index: Index, distribution: str) -> str:
    return next(c.version for c in index.components if c.distribution == distribution)


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


@pytest.mark.parametrize("update", [1, 2])
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


def test_nothing_in_it_is_a_pickle(newest: Path) -> None:
    assert sorted(path.name for path in newest.iterdir()) == [
        *("normaliser.safetensors", "optimiser.safetensors", "policy.safetensors", "rng.safetensors", "state.json")
    ]
    from safetensors import safe_open

    for file in newest.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            assert list(tensors.keys())


def test_the_header_says_what_is_in_it(newest: Path, trained: Trained, plan: Plan) -> None:
    header = read_header(newest)
    assert (header.update, header.score) == (3, trained[2][2].metrics["return"])
    assert header.plan == plan and header.content["environment_steps"] == 18
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
@pytest.mark.parametrize("at", range(6))
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


@pytest.mark.parametrize("group", ["policy", "optimiser", "normaliser", "rng"])
@pytest.mark.parametrize("damage", ["altered", "truncated", "missing"])
def test_a_damaged_file_is_named(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, group: str, damage: str
) -> None:
    file = newest / f"{group}.safetensors"
    data = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(data[:-1])
    else:
        data[-1] ^= 1
        file.write_bytes(data)
    error = refused(newest, fresh, plan, index)
    assert str(file) in error.message
    expected = {"altered": "digest", "truncated": f"it has {len(data) - 1} bytes", "missing": "No such file"}
    assert expected[damage] in error.message


@pytest.mark.parametrize("value", [2, "2", None])
def test_an_altered_header_is_refused(newest: Path, fresh: Trainer, plan: Plan, index: Index, value: object) -> None:
    content = json.loads((newest / "state.json").read_text())
    content["counters"]["updates_done"] = value
    (newest / "state.json").write_text(json.dumps(content))
    assert "state.json was altered: its digest is" in refused(newest, fresh, plan, index).message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is damaged"),
        ('{"schema": 1, "upd', "is damaged"),
        ("[1]", "was not written by esper"),
        ('{"epoch": 3, "model": "policy.pt"}', "was not written by esper"),
        ('{"schema": 1, "files": {}}', "has schema 1; this version of esper-core reads 2"),
        ('{"schema": 3, "files": {}}', "has schema 3; this version of esper-core reads 2"),
    ],
)
def test_a_foreign_header_is_refused(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, text: str, words: str
) -> None:
    (newest / "state.json").write_text(text)
    assert words in refused(newest, fresh, plan, index).message


def test_a_folder_without_a_header_is_no_checkpoint(newest: Path, fresh: Trainer, plan: Plan, index: Index) -> None:
    (newest / "state.json").unlink()
    assert "is not a checkpoint" in refused(newest, fresh, plan, index).message


def test_a_header_cannot_point_elsewhere(newest: Path, fresh: Trainer, plan: Plan, index: Index) -> None:
    def point(content: dict[str, Any]) -> None:
        content["files"]["../000002/policy.safetensors"] = content["files"].pop("policy.safetensors")

    (newest / "policy.safetensors").unlink()
    rewrite(newest, point)
    assert str(newest / "policy.safetensors") in refused(newest, fresh, plan, index).message


def test_other_slots_are_refused_with_both(newest: Path, fresh: Trainer, plan_for: MakePlan, index: Index) -> None:
    error = refused(newest, fresh, plan_for(slots="3"), index)
    rows = {line[:16].strip(): line for line in error.message.splitlines()}
    assert "r0c0, r0c1  " in rows["slots (2 → 3)"] and rows["slots (2 → 3)"].endswith("r0c0, r0c1, r0c2")
    assert "feature schema" in rows and "actions" in rows
    assert "what was trained with 2 loads with 2 and with no other number" in error.hint
    assert error.hint.endswith("Use --slots r0c0,r0c1, or train a new run with 3.")


def test_as_many_slots_elsewhere_are_refused(newest: Path, fresh: Trainer, plan_for: MakePlan, index: Index) -> None:
    error = refused(newest, fresh, plan_for(slots="r0c0,r0c2"), index)
    assert "r0c0, r0c2" in error.message


def test_another_critic_is_refused(newest: Path, fresh: Trainer, plan_for: MakePlan, index: Index) -> None:
    error = refused(newest, fresh, plan_for(uses={"critic": "state-value"}), index)
    (row,) = [line.split() for line in error.message.splitlines() if line.strip().startswith("critic")]
    assert row == ["critic", "op-conditioned-critic", "state-value"]
    assert error.hint == "Use --use critic=op-conditioned-critic."


@pytest.mark.parametrize(
    ("key", "words", "owner"),
    [("feature_schema", "feature schema", "esper-obs-v3"), ("actions", "actions", "esper-growth")],
)
def test_another_meaning_of_equal_sizes_is_refused(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, key: str, words: str, owner: str
) -> None:
    rewrite(newest, lambda content: content[key].update(digest="0123456789abcdef"))
    error = refused(newest, fresh, plan, index)
    assert f"  {words}" in error.message and "0123456789abcdef" in error.message
    assert f"The source of {owner} has changed under the same version" in error.hint
    assert error.hint.endswith(f'pip install --force-reinstall "{owner}=={version_of(index, owner)}"')


def test_another_weights_version_is_refused(newest: Path, fresh: Trainer, plan: Plan, index: Index) -> None:
    def change(content: dict[str, Any]) -> None:
        content["weights_versions"]["network/lstm-v2"] = 7
        content["distributions"]["esper-lstm-v2"]["version"] = "9.7"

    rewrite(newest, change)
    error = refused(newest, fresh, plan, index)
    assert "weights of network/lstm-v2" in error.message and "version 7" in error.message
    assert error.hint == 'Install what it was written with: pip install "esper-lstm-v2==9.7"'


def test_a_missing_plugin_is_named_with_the_command(newest: Path, fresh: Trainer, plan: Plan, index: Index) -> None:
    left = evolve(index, components=[c for c in index.components if c.distribution != "esper-lstm-v2"])
    error = refused(newest, fresh, plan, left)
    assert "network 'lstm-v2'" in error.message and "not installed" in error.message
    assert 'pip install "esper-lstm-v2==' in error.hint


def test_a_missing_plugin_that_weights_do_not_fit_is_named_as_well(
    newest: Path, fresh: Trainer, plan: Plan, index: Index
) -> None:
    left = evolve(index, components=[c for c in index.components if c.kind != "loss"])
    error = refused(newest, fresh, plan, left)
    assert "loss 'factored-ppo'" in error.message and 'pip install "esper-factored-ppo==' in error.hint


def test_options_that_the_installed_version_does_not_know_are_refused(
    newest: Path, fresh: Trainer, plan: Plan, index: Index
) -> None:
    def add(content: dict[str, Any]) -> None:
        for component in content["plan"]["components"]:
            if component["kind"] == "network":
                component["config"]["depth"] = 3

    rewrite(newest, add)
    error = refused(newest, fresh, read_header(newest).plan, index)
    assert "options of network/lstm-v2" in error.message and "'network.depth'" in error.message


def test_settings_of_the_trainer_that_this_version_does_not_know_are_refused(
    newest: Path, fresh: Trainer, index: Index
) -> None:
    rewrite(newest, lambda content: content["plan"]["train"].update(momentum=0.9))
    error = refused(newest, fresh, read_header(newest).plan, index)
    assert "train.momentum" in error.message and "esper-core" in error.hint


@pytest.mark.parametrize("key", ["counters", "plan", "libraries"])
def test_a_header_that_lacks_something_is_refused(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, key: str
) -> None:
    rewrite(newest, lambda content: content.pop(key))
    assert f"'{key}' is missing" in refused(newest, fresh, plan, index).message


def test_a_foreign_file_in_the_place_of_tensors_is_refused(
    newest: Path, fresh: Trainer, plan: Plan, index: Index
) -> None:
    foreign = pickle.dumps({"weights": [1.0, 2.0]})
    (newest / "policy.safetensors").write_bytes(foreign)
    entry = {"bytes": len(foreign), "sha256": hashlib.sha256(foreign).hexdigest()}
    rewrite(newest, lambda content: content["files"].update({"policy.safetensors": entry}))
    assert "policy.safetensors is not a safetensors file" in refused(newest, fresh, plan, index).message


def test_verifying_needs_no_torch_and_names_the_damaged_file(newest: Path) -> None:
    assert verify_checkpoint(newest).update == 3
    file = newest / "optimiser.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
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
    ],
)
def test_another_version_or_source_is_noted(
    newest: Path, fresh: Trainer, plan: Plan, index: Index, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    rewrite(newest, change)
    (note,) = load_checkpoint(newest, fresh, plan, index).notes
    assert words in note


def test_another_loss_is_noted(newest: Path, fresh: Trainer, plan: Plan, index: Index) -> None:
    def rename(content: dict[str, Any]) -> None:
        for component in content["plan"]["components"]:
            if component["kind"] == "loss":
                component["name"] = "former-loss"

    rewrite(newest, rename)
    assert load_checkpoint(newest, fresh, plan, index).notes == (
        "The loss is 'factored-ppo'; the checkpoint was written with 'former-loss'.",
    )
