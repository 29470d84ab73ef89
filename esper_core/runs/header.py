"""What a checkpoint says about itself: `state.json`, read and verified without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from esper_core.contracts.errors import CheckpointMismatch, DamagedFile
from esper_core.contracts.exact import Inexact, from_exact
from esper_core.plan.plan import Plan
from esper_core.runs import provenance
from esper_core.runs.shapes import SavedState, naming
from esper_core.system.json_files import read_json
from esper_core.system.shape import shaped

CHECKPOINT_SCHEMA = 2
STATE_FILE = "state.json"
BEST_BY = "return"
OTHER_CHECKPOINT = "Use another checkpoint of the run."
"""What to do about a checkpoint that cannot be read."""
MOST_BYTES = 2**28
"""Bytes of a `state.json` at most."""


@frozen
class Header:
    """What `state.json` says; made without torch.

    Attributes:
        path: Folder of the checkpoint.
        content: The whole of `state.json`, its digest verified.
    """

    path: Path
    content: dict[str, Any] = field(repr=False)

    @property
    def update(self) -> int:
        """Updates done when it was written."""
        return int(self.content["update"])

    @property
    def score(self) -> float | None:
        """Return of the last update, by which the best checkpoint is known; None where undefined."""
        value = self.content["best_by"].get(BEST_BY)
        return None if value is None else float(value)

    @property
    def plan(self) -> Plan:
        """The plan it was written with; raises CheckpointMismatch when it cannot be read."""
        with naming(self.path / STATE_FILE, OTHER_CHECKPOINT):
            return Plan.from_json(self.content["plan"])

    @property
    def counters(self) -> dict[str, Any]:
        """The trainer's counters; raises CheckpointMismatch when they cannot be read."""
        try:
            counters: dict[str, Any] = from_exact(self.content["counters"])
        except Inexact as error:
            raise CheckpointMismatch(f"{self.path / STATE_FILE} is damaged: {error}.", hint=OTHER_CHECKPOINT) from error
        return counters


def read_header(path: Path) -> Header:
    """Read and verify `state.json`, without torch.

    Raises:
        CheckpointMismatch: it is missing, damaged, altered, foreign or of a newer schema.
    """
    file = path / STATE_FILE
    try:
        content = read_json(file, MOST_BYTES)
    except FileNotFoundError as error:
        raise CheckpointMismatch(f"{path} is no checkpoint: it has no {STATE_FILE}.", hint=OTHER_CHECKPOINT) from error
    except OSError as error:
        raise CheckpointMismatch(f"{file} cannot be read: {error.strerror}.", hint=OTHER_CHECKPOINT) from error
    except DamagedFile as error:
        error.hint = OTHER_CHECKPOINT
        raise
    if not isinstance(content, dict) or "schema" not in content or "files" not in content:
        raise CheckpointMismatch(f"{file} was not written by esper.", hint=OTHER_CHECKPOINT)
    if content["schema"] != CHECKPOINT_SCHEMA:
        raise CheckpointMismatch(
            f"{path} has schema {content['schema']!r}; this version of esper-core reads {CHECKPOINT_SCHEMA}.",
            hint=f"Use the version of esper-core that wrote it: {provenance.core_command(content)}",
        )
    saved, actual = content.get("digest"), content_digest(content)
    if saved != actual:
        raise CheckpointMismatch(f"{file} was altered: its digest is {actual}, not {saved}.", hint=OTHER_CHECKPOINT)
    known = shaped(SavedState, content, str(file), hint=OTHER_CHECKPOINT)
    with naming(file, OTHER_CHECKPOINT):
        Plan.from_json(known.plan)
    return Header(path, content)


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the digest of a `state.json`, all but its own digest."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()
