"""Checkpoints: everything the next update depends on, as safetensors files and one `state.json`.

A checkpoint is written beside its place, waited for on the disk, and renamed, so that a folder with its final name is
whole. Nothing in it is ever imported or unpickled: names are compared with what is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from esper_core.contracts.errors import CheckpointMismatch, EsperError
from esper_core.registry.plan import describe_plan
from esper_core.runs import provenance
from esper_core.runs.directory import RunDirectory
from esper_core.runs.files import finite, sync_directory, write_synced, writing

if TYPE_CHECKING:
    from esper_core.learning.trainer import Trainer, Update
    from esper_core.registry.index import Index
    from esper_core.registry.plan import Plan

CHECKPOINT_SCHEMA = 1
STATE_FILE = "state.json"
KEPT = 3
"""Newest checkpoints that are kept; the best one is kept besides."""


class Difference(NamedTuple):
    """Something that a checkpoint was written with and that is not so here."""

    what: str
    saved: str
    here: str


def save_checkpoint(run: RunDirectory, trainer: Trainer, update: Update, plan: Plan, index: Index) -> Path:
    """Write the checkpoint that follows an update, drop older ones, and return its folder.

    Raises:
        EsperError: it cannot be written; nothing of an earlier checkpoint is lost.
    """
    from safetensors.torch import save

    state = trainer.state()
    contents = {f"{group}.safetensors": save(tensors) for group, tensors in state.tensors.items()}
    header = {
        "schema": CHECKPOINT_SCHEMA,
        "update": update.index,
        "return": update.metrics.get("return"),
        "plan": plan.to_json(),
        **_identity(plan, index),
        "distributions": provenance.distributions(plan, index),
        "counters": state.counters,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    contents[STATE_FILE] = json.dumps(finite(header), indent=1, allow_nan=False).encode()
    place = run.checkpoints / f"{update.index:06}"
    unfinished = run.checkpoints / f".{place.name}.unfinished"
    with writing(place, "Make room or choose another --out; earlier checkpoints are untouched."):
        for leftover in run.checkpoints.glob(".*"):
            shutil.rmtree(leftover)
        unfinished.mkdir()
        try:
            for name, content in contents.items():
                write_synced(unfinished / name, content)
            sync_directory(unfinished)
            if place.exists():
                _drop(place)
            unfinished.rename(place)
            sync_directory(run.checkpoints)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        _keep_newest_and_best(run)
    return place


def list_checkpoints(run: RunDirectory) -> list[Path]:
    """Return the folders of a run's checkpoints, oldest first."""
    if not run.checkpoints.is_dir():
        return []
    return sorted(folder for folder in run.checkpoints.iterdir() if folder.name.isdigit())


def read_header(folder: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's `state.json`, without torch.

    Raises:
        CheckpointMismatch: it is missing, damaged, or of a newer schema.
    """
    file = folder / STATE_FILE
    try:
        header = json.loads(file.read_bytes())
        schema = header["schema"]
    except FileNotFoundError as error:
        raise CheckpointMismatch(f"{folder} is no checkpoint: it has no {STATE_FILE}.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointMismatch(f"{file} is damaged: {error}.", hint=_ANOTHER) from error
    if schema != CHECKPOINT_SCHEMA:
        raise CheckpointMismatch(
            f"{file} has schema {schema!r}; this version of esper-core reads {CHECKPOINT_SCHEMA}.",
            hint="Use the version of esper-core that wrote it.",
        )
    return dict(header)


def load_checkpoint(folder: Path, trainer: Trainer, plan: Plan, index: Index) -> dict[str, Any]:
    """Continue a trainer where a checkpoint was written; return the checkpoint's header.

    Raises:
        CheckpointMismatch: it was written for something else, or a file is missing, truncated or altered.
    """
    from safetensors.torch import load

    from esper_core.learning.trainer import TrainerState

    header = read_header(folder)
    differences = compare(header, plan, index)
    if differences:
        raise CheckpointMismatch(
            f"{folder} was written for something else.\n{_table(differences)}",
            hint="Checkpoints fit only the slots, features, actions and components they were written with. "
            "Train anew, or use what it was written with.",
        )
    groups = {}
    for name in header["files"]:
        content = _verified(folder / name, header["files"][name])
        groups[Path(name).stem] = load(content)
    trainer.load_state(TrainerState(groups, header["counters"]))
    return header


def compare(header: Mapping[str, Any], plan: Plan, index: Index) -> list[Difference]:
    """Return everything about which a checkpoint's header and a plan disagree so that weights cannot fit."""
    here = _identity(plan, index)
    found = []
    for key, value in here.items():
        saved = header.get(key)
        if saved == value:
            continue
        if isinstance(value, dict) and isinstance(saved, dict):
            for name in dict.fromkeys([*saved, *value]):
                if saved.get(name) != value.get(name):
                    found.append(Difference(name, _shown(saved.get(name)), _shown(value.get(name))))
        else:
            found.append(Difference(key, _shown(saved), _shown(value)))
    return found


_ANOTHER = "Use another checkpoint of the run."


def _identity(plan: Plan, index: Index) -> dict[str, Any]:
    """Return what must be equal for weights to fit and to mean the same."""
    known = describe_plan(plan, index)
    learned = {c.key: c for c in plan.components if c.kind in ("network", "critic", "features")}
    versions = provenance.weights_versions(plan, index)
    return {
        "slots": list(plan.slots),
        "feature_schema": known.feature_schema.digest,
        "actions": known.actions.digest,
        "components": {
            key: {"distribution": c.distribution, "weights_version": versions[key]} for key, c in learned.items()
        },
    }


def _verified(file: Path, digest: str) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CheckpointMismatch(f"{file} cannot be read: {error.strerror}.", hint=_ANOTHER) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise CheckpointMismatch(
            f"{file} is truncated or altered: its SHA-256 is {found[:16]}…, {STATE_FILE} says {digest[:16]}….",
            hint=_ANOTHER,
        )
    return content


def _keep_newest_and_best(run: RunDirectory) -> None:
    folders = list_checkpoints(run)
    best, best_return = None, float("-inf")
    for folder in folders:
        with contextlib.suppress(EsperError):
            value = read_header(folder).get("return")
            if value is not None and value > best_return:
                best, best_return = folder, value
    for folder in folders[:-KEPT]:
        if folder != best:
            _drop(folder)


def _drop(folder: Path) -> None:
    """Remove a checkpoint; it loses its name first, so that half of one is never taken for a whole one."""
    doomed = folder.with_name(f".{folder.name}.removed")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _table(differences: list[Difference]) -> str:
    rows = [("", "saved", "here"), *differences]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return "\n".join(f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return f"{len(value)}: {', '.join(map(str, value))}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value)
