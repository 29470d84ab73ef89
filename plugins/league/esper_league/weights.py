"""The weights of an entry: a checkpoint in `weights/ID/` with what acting needs, and its verification.

It is a checkpoint as runs have it, safetensors files and a `state.json` with their digests, but without what only
training needs. No pickle is ever loaded, and torch is not imported but to write live weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from esper_core.composition.plan import Plan, describe_plan
from esper_core.contracts.errors import CheckpointMismatch
from esper_core.contracts.plain import to_exact
from esper_core.runs import provenance
from esper_core.runs.checkpoint import verify_checkpoint
from esper_core.runs.header import (
    BEST_BY,
    CHECKPOINT_SCHEMA,
    OTHER_CHECKPOINT,
    STATE_FILE,
    content_digest,
    read_header,
)
from esper_core.runs.records import reading
from esper_core.system import files
from esper_core.system.json_files import json_bytes, read_bytes
from esper_core.system.machine import libraries

if TYPE_CHECKING:
    from torch import Tensor

    from esper_core.registry.index import Index

WEIGHTS = "weights"
GROUPS = ("policy", "normaliser")
"""Groups of tensors that acting and the critic's units need."""

ACTS = ("features", "network")
"""Kinds that decide, with the weights, what a policy does."""


@frozen
class Weights:
    """A checkpoint in memory: the content of `state.json`, and its other files by name."""

    content: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def id(self) -> str:
        """Digest of what acts: the same weights, networks and features have the same, wherever they come from."""
        plan = self.content["plan"]
        acts = {
            "policy": self.content["files"]["policy.safetensors"]["sha256"],
            "precision": plan["precision"],
            "features": self.content["counters"]["parts"].get("features"),
            "components": {c["kind"]: [c["name"], c["config"]] for c in plan["components"] if c["kind"] in ACTS},
        }
        return hashlib.sha256(json.dumps(acts, sort_keys=True).encode()).hexdigest()[:16]


def from_checkpoint(path: Path) -> Weights:
    """Read what acting needs of a run's checkpoint, every file verified; raises CheckpointMismatch."""
    header = read_header(path)
    content = dict(header.content)
    found: dict[str, bytes] = {}
    for group in GROUPS:
        name = f"{group}.safetensors"
        with reading(path / name, OTHER_CHECKPOINT):
            entry = content["files"].get(name)
            if entry is None:
                raise CheckpointMismatch(f"{path} has no {name}.", hint=OTHER_CHECKPOINT)
            found[name] = read_bytes(path / name, entry["bytes"])
        if hashlib.sha256(found[name]).hexdigest() != entry["sha256"]:
            raise CheckpointMismatch(f"{path / name} is damaged: its digest is another.", hint=OTHER_CHECKPOINT)
    return _made(content, content["counters"].get("parts", {}), found)


def from_policy(
    tensors: Mapping[str, Mapping[str, Tensor]],
    features: Mapping[str, Any] | None,
    plan: Plan,
    index: Index,
    *,
    update: int,
    environment_steps: int,
) -> Weights:
    """Return live weights as a checkpoint.

    Args:
        tensors: The groups 'policy' and 'normaliser', on the CPU, as in `esper_core.learning.state.TrainerState`.
        features: State of the features, None where they have none.
        plan: What they were trained with.
        index: What is installed.
        update: Updates done.
        environment_steps: Steps done.
    """
    from safetensors.torch import save

    known = describe_plan(plan, index)
    content = {
        "schema": CHECKPOINT_SCHEMA,
        "update": update,
        "environment_steps": environment_steps,
        "plan": plan.to_json(),
        "feature_schema": {"digest": known.feature_schema.digest, "dim": known.feature_schema.dim},
        "actions": {"digest": known.actions.digest, "heads": known.actions.sizes},
        "weights_versions": provenance.weights_versions(plan, index),
        "distributions": provenance.distributions(plan, index),
        "libraries": libraries(),
    }
    parts = {} if features is None else {"features": to_exact(dict(features))}
    return _made(content, parts, {f"{group}.safetensors": save(dict(tensors[group])) for group in GROUPS})


def _made(content: dict[str, Any], parts: Mapping[str, Any], found: Mapping[str, bytes]) -> Weights:
    kept = {kind: state for kind, state in parts.items() if kind == "features"}
    digests = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in found.items()}
    content = {**content, "best_by": {BEST_BY: None}, "counters": {"parts": kept}, "files": digests}
    return Weights({**content, "digest": content_digest(content)}, found)


def write(league: Path, weights: Weights) -> Path:
    """Write a checkpoint into a league, whole or not at all; one that is there and good stays.

    Whoever calls it holds the league's transaction, so that no other process writes here. EsperError: the disk is full,
    or it cannot be written.
    """
    folder = league / WEIGHTS
    path = folder / weights.id
    with files.writing(path, "Make room, and add it again."):
        files.make_folder(folder, league)
        for leftover in (entry for entry in folder.iterdir() if files.is_temporary(entry.name)):
            files.remove_folder(leftover, league)
        with suppress(CheckpointMismatch):
            verify_checkpoint(path)
            return path
        temporary = folder / files.temporary_name()
        try:
            files.make_folder(temporary, league)
            for name, data in {**weights.files, STATE_FILE: json_bytes(dict(weights.content), indent=1)}.items():
                files.create_synced(temporary / name, data, league)
            files.sync_folder(temporary)
            files.remove_folder(path, league)
            files.rename(temporary, path, league)
        finally:
            files.remove_folder(temporary, league)
    return path
