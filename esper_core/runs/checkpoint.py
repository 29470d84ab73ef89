"""Checkpoints: everything the next update depends on, complete or not there at all.

A checkpoint is a folder `checkpoints/000042/` of safetensors files, one per group of tensors, and `state.json`, which
records what the run is made of and the digest of every file. Reading `state.json` imports no torch, no pickle is ever
loaded, and a name found in a checkpoint is compared with what is installed, never imported.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import CheckpointMismatch, EsperError, UserError
from esper_core.contracts.foreign import described
from esper_core.contracts.plain import to_exact
from esper_core.runs.compatibility import check_fit, check_weights
from esper_core.runs.header import (
    BEST_BY,
    CHECKPOINT_SCHEMA,
    CHECKPOINTS,
    OTHER_CHECKPOINT,
    STATE_FILE,
    Header,
    content_digest,
    read_header,
)
from esper_core.runs.records import reading
from esper_core.system import files
from esper_core.system.json_files import finite, json_bytes, read_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from esper_core.contracts.protocols import FeatureExtractor
    from esper_core.learning.normalise import ReturnNormaliser
    from esper_core.learning.session import Session
    from esper_core.learning.trainer import Update
    from esper_core.policy.policy import Policy
    from esper_core.registry.index import Index
    from esper_core.runs.directory import RunDirectory

KEEP_LAST = 3
_NAME = re.compile(r"\d{6,10}")


# Writing ------------------------------------------------------------------------------------------------------------


def save_checkpoint(run: RunDirectory, trainer: Session, update: Update) -> Path:
    """Write the checkpoint that follows an update, and remove those that are neither recent nor the best.

    It is written under another name, flushed to the disk and renamed, so that it is complete or not there. EsperError:
    it cannot be written; earlier checkpoints are untouched.
    """
    from safetensors.torch import save

    state = trainer.state()
    written = {f"{group}.safetensors": save(tensors) for group, tensors in state.tensors.items()}
    content = {
        "schema": CHECKPOINT_SCHEMA,
        "update": update.index,
        "environment_steps": update.environment_steps,
        "best_by": finite({BEST_BY: update.score}),
        "counters": to_exact(state.counters),
        **{key: run.record[key] for key in ("plan", "feature_schema", "actions", "weights_versions")},
        **{key: run.circumstances[key] for key in ("distributions", "libraries")},
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in written.items()
        },
    }
    content["digest"] = content_digest(content)
    written[STATE_FILE] = json_bytes(content, indent=1)
    folder = run.checkpoints
    path = folder / f"{update.index:06d}"
    with files.writing(path, "Make room; earlier checkpoints are untouched."):
        files.make_folder(folder, run.path)
        for leftover in (entry for entry in folder.iterdir() if files.is_temporary(entry.name)):
            files.remove_folder(leftover, run.path)
        temporary = folder / files.temporary_name()
        try:
            files.make_folder(temporary, run.path)
            for name, data in written.items():
                files.create_synced(temporary / name, data, run.path)
            files.sync_folder(temporary)
            _remove(run, path)
            files.rename(temporary, path, run.path)
        finally:
            files.remove_folder(temporary, run.path)
        best = best_checkpoint(run)
        for earlier in list_checkpoints(run)[:-KEEP_LAST]:
            if earlier != best:
                _remove(run, earlier)
    return path


def remove_later(run: RunDirectory, update: int) -> None:
    """Remove the checkpoints of later updates, the newest first; raises EsperError."""
    for path in reversed(list_checkpoints(run)):
        if int(path.name) > update:
            with files.writing(path):
                _remove(run, path)


def _remove(run: RunDirectory, path: Path) -> None:
    """Remove a checkpoint under another name, so that it is never there in part."""
    if path.exists():
        rubbish = path.with_name(files.temporary_name())
        files.rename(path, rubbish, run.path)
        files.remove_folder(rubbish, run.path)


# Reading ------------------------------------------------------------------------------------------------------------


def list_checkpoints(run: RunDirectory) -> list[Path]:
    """Return the folders of a run's checkpoints, oldest first; raises CheckpointMismatch when it cannot be read."""
    folder = run.checkpoints
    if not folder.exists():
        return []
    with reading(folder, "It should be the folder of the run's checkpoints; restore it from a copy."):
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name))


def best_checkpoint(run: RunDirectory) -> Path | None:
    """Return the checkpoint with the highest return, the newer of equals, among those that can be read; or None."""
    scored = []
    for path in list_checkpoints(run):
        with suppress(EsperError):
            header = read_header(path)
            if header.score is not None:
                scored.append((header.score, header.update, path))
    return max(scored)[2] if scored else None


def choose_checkpoint(run: RunDirectory, at: str) -> Path:
    """Return a checkpoint of a run: 'last', 'best' (the highest return), or that of an update; raises UserError."""
    paths = {str(int(path.name)): path for path in list_checkpoints(run)}
    if not paths:
        raise UserError(f"{run.path} has no checkpoint yet.", hint="One is written after every update.")
    newest = [*paths.values()][-1]
    if at == "last":
        return newest
    if at == "best":
        return best_checkpoint(run) or newest
    found = paths.get(str(int(at)) if at.isdecimal() else at)
    if found is None:
        known = f"It has those of: {', '.join(paths)}; or say last, or best."
        raise UserError(f"{run.path} has no checkpoint of update {at}.", hint=known)
    return found


def verify_checkpoint(path: Path) -> Header:
    """Return a checkpoint's header, every file compared with its digest, without torch; raises CheckpointMismatch."""
    header = read_header(path)
    for _ in _files(header):
        pass
    return header


def load_checkpoint(path: Path, trainer: Session, plan: Plan, index: Index) -> tuple[str, ...]:
    """Verify a checkpoint, compare it with what is installed and with a plan, and restore a trainer from it.

    The state of an environment, of features, masks or of a loss is left out where the plan chose another component.
    Returns differences that do not matter enough to refuse, each one sentence. Raises CheckpointMismatch where a file
    is damaged, or slots, features, actions, weights or components differ; nothing has changed then.
    """
    from esper_core.learning.state import TrainerState

    header, notes, tensors = _load(path, plan, index, trainer.policy)
    saved, counters = header.plan, header.counters
    same = {kind: state for kind, state in counters["parts"].items() if _names(saved, kind) == _names(plan, kind)}
    trainer.load_state(TrainerState(tensors, {**counters, "parts": same}))
    return notes


def load_policy(
    path: Path, policy: Policy, features: FeatureExtractor, plan: Plan, index: Index, normaliser: ReturnNormaliser
) -> tuple[str, ...]:
    """Put what acting needs of a checkpoint into its parts: weights, the state of features, the critic's units.

    Otherwise it is as `load_checkpoint`.
    """
    from esper_core.learning.state import FIT

    header, notes, tensors = _load(path, plan, index, policy)
    try:
        policy.load_state_dict(tensors["policy"])
        normaliser.load_state(tensors["normaliser"])
        state: Any = header.counters["parts"].get("features")
        if state is not None:
            features.load_state(state)  # type: ignore[attr-defined]
    except (LookupError, RuntimeError, AttributeError) as error:
        raise CheckpointMismatch(f"The policy saved in {path} does not fit: {described(error)}.", hint=FIT) from error
    return notes


def load_init(trainer: Session, plan: Plan, index: Index) -> tuple[str, ...]:
    """Let a trainer that has done nothing begin with the weights that its plan names; otherwise it is as `load_policy`.

    Weights come with what gives them their meaning: what features remember, such as the means and spreads of what was
    seen, and the units in which the critic predicts. These weigh as much as the returns of one update, so that rewards
    of another size are soon the measure. Counters, random streams and the optimiser's moments begin anew.
    """
    from esper_core.learning.normalise import ReturnNormaliser

    assert plan.init is not None, "a plan that begins with weights names them"
    path = Path(plan.init.run) / CHECKPOINTS / f"{plan.init.update:06d}"
    try:
        header = read_header(path)
    except CheckpointMismatch as error:
        error.hint = "A run needs the weights that it begins with until its first update is done."
        raise
    if header.content["digest"] != plan.init.digest:
        said = f"its digest is {header.content['digest'][:16]}, not {plan.init.digest[:16]}"
        raise CheckpointMismatch(f"{path} is not what the plan begins with: {said}.", hint="Plan again with --init.")
    here, there = trainer.normaliser, ReturnNormaliser(enabled=header.plan.train["normalise_returns"])
    notes = load_policy(path, trainer.policy, trainer.features, plan, index, here)
    there.load_state(here.state())
    here.weigh(float(trainer.rollout.valid.numel()))
    if (there.offset, there.unit) != (here.offset, here.unit):
        with trainer.owners["critic"].doing("rescaling its output"):
            trainer.policy.critic.rescale_(there.offset, there.unit, here.offset, here.unit)
    return notes


def _names(plan: Plan, kind: str) -> list[str]:
    return [f"{c.distribution}:{c.name}" for c in plan.of_kind(kind)]


def _load(
    path: Path, plan: Plan, index: Index, policy: Policy
) -> tuple[Header, tuple[str, ...], dict[str, dict[str, Tensor]]]:
    """Return what a checkpoint holds that fits a plan, what is installed, and a policy that was built of these."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    header = read_header(path)
    notes, tensors = check_fit(header, plan, index), {}
    for file, data in _files(header):
        try:
            tensors[file.stem] = load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise CheckpointMismatch(f"{file} is not a safetensors file: {error}.", hint=OTHER_CHECKPOINT) from error
    saved, here = (
        {name: tuple(value.shape) for name, value in side.items()} for side in (tensors["policy"], policy.state_dict())
    )
    check_weights(header, saved, here, plan, index)
    return header, notes, tensors


def _files(header: Header) -> Iterator[tuple[Path, bytes]]:
    """Yield every file of a checkpoint and its content, whose digest is right."""
    for name, entry in header.content["files"].items():
        file = header.path / Path(name).name
        with reading(file, OTHER_CHECKPOINT):
            data = read_bytes(file, entry["bytes"])
        actual = hashlib.sha256(data).hexdigest()
        if len(data) != entry["bytes"] or actual != entry["sha256"]:
            said = f"{entry['bytes']} bytes and digest {entry['sha256'][:16]}"
            message = f"{file} is damaged: it has {len(data)} bytes and digest {actual[:16]}, not {said}."
            raise CheckpointMismatch(message, hint=OTHER_CHECKPOINT)
        yield file, data
