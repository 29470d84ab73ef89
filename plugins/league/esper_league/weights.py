"""The weights of an entry: a checkpoint in `weights/ID/` with what acting needs, and its verification.

It is a checkpoint as runs have it, safetensors files and a `state.json` with their digests, but without what only
training needs. No pickle is ever loaded, and torch is not imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from esper_core.contracts.errors import CheckpointMismatch
from esper_core.runs.checkpoint import verify_checkpoint
from esper_core.runs.header import (
    OTHER_CHECKPOINT,
    STATE_FILE,
    content_digest,
    read_header,
)
from esper_core.runs.records import reading
from esper_core.system import files
from esper_core.system.json_files import json_bytes, read_bytes

if TYPE_CHECKING:
    pass

WEIGHTS = "weights"
FILES = ("policy.safetensors", "normaliser.safetensors")
"""What acting needs, and the critic's units."""

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


def read(path: Path) -> Weights:
    """Read what acting needs of a run's checkpoint, every file verified; raises CheckpointMismatch."""
    content, found = dict(read_header(path).content), {}
    digests = {name: content["files"].get(name) for name in FILES}
    for name, said in digests.items():
        if said is None:
            raise CheckpointMismatch(f"{path} has no {name}.", hint=OTHER_CHECKPOINT)
        with reading(path / name, OTHER_CHECKPOINT):
            found[name] = read_bytes(path / name, said["bytes"])
        if hashlib.sha256(found[name]).hexdigest() != said["sha256"]:
            raise CheckpointMismatch(f"{path / name} is damaged: its digest is another.", hint=OTHER_CHECKPOINT)
    parts = {kind: state for kind, state in content["counters"]["parts"].items() if kind == "features"}
    content |= {"counters": {"parts": parts}, "files": digests}
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
